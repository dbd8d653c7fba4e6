//! Components that are small to send and dear to compile.

use crate::bytes::{app_of, app_with, body, leb, list, module_of, section};

/// Each with the word that refuses it, or none if it is the compiler's business.
pub fn bombs() -> Vec<(&'static str, Vec<u8>, Option<&'static str>)> {
    const COMPLEX: Option<&str> = Some("component_too_complex");
    let nop = |locals| body(locals, &[]);
    vec![
        ("a function of 7 MB", app_of(&module_of(&[body(0, &[0x01; 7_000_000])])), COMPLEX),
        ("100,001 functions", app_of(&module_of(&vec![nop(0); 100_001])), COMPLEX),
        ("50,000 locals in each of 1,000 functions", app_of(&module_of(&vec![nop(50_000); 1_000])), COMPLEX),
        ("a function that says it has a billion locals", app_of(&module_of(&[nop(1_000_000_000)])), COMPLEX),
        ("50,001 types of a module", app_of(&types(50_001)), COMPLEX),
        ("50,001 types of a component", app_with(&[section(7, &list(&vec![vec![0x7f]; 50_001]))]), COMPLEX),
        ("a million sections", app_with(&vec![section(0, &[0]); 1_000_000]), COMPLEX),
        ("1,001 components", app_with(&vec![section(4, b"\0asm\x0d\0\x01\0"); 1_001]), COMPLEX),
        ("1,001 modules", app_with(&vec![section(1, b"\0asm\x01\0\0\0"); 1_001]), COMPLEX),
        ("components 1,000 deep", app_with(&[nested(1_000)]), COMPLEX),
        ("250,001 aliases", app_with(&[section(6, &list(&vec![vec![3, 2, 0, 0]; 250_001]))]), COMPLEX),
        ("a section that says it has 4 billion types", app_with(&[section(7, &leb(0xffff_fff0))]), COMPLEX),
        ("64 MiB of nothing", app_with(&[section(0, &[vec![0], vec![0; 63 * 1024 * 1024]].concat())]), None),
        ("340,000 blocks inside each other", app_of(&module_of(&[body(0, &blocks(340_000))])), None),
        ("10 functions of 340,000 blocks", app_of(&module_of(&vec![body(0, &blocks(340_000)); 10])), None),
        (
            "20 million targets of tables of branches",
            app_of(&module_of(&vec![body(0, &branches(500, 1_000)); 40])),
            None,
        ),
        ("loops 1,000 deep that change 2,000 locals", app_of(&module_of(&[loops(1_000, 2_000)])), None),
        ("loops 4,000 deep that change 4,000 locals", app_of(&module_of(&[loops(4_000, 4_000)])), None),
        ("20 functions of loops 500 deep", app_of(&module_of(&vec![loops(500, 1_000); 20])), None),
        ("50,000 locals in each of 90 functions", app_of(&module_of(&vec![nop(50_000); 90])), None),
        ("100,000 functions", app_of(&module_of(&vec![nop(0); 99_999])), None),
        ("types that double 60 times", app_with(&[doubling(60)]), None),
        ("types 5,000 deep", app_with(&[deep(5_000)]), None),
    ]
}

/// One that keeps a compiler busy for long.
pub fn slow() -> Vec<u8> {
    app_of(&module_of(&vec![loops(500, 1_000); 50]))
}

fn types(count: usize) -> Vec<u8> {
    let mut module = module_of(&[]);
    module.splice(8..8, section(1, &list(&vec![vec![0x60, 0, 0]; count])));
    module
}

/// A component in a component, and so on.
fn nested(depth: usize) -> Vec<u8> {
    (0..depth).fold(vec![], |inner, _| section(4, &[b"\0asm\x0d\0\x01\0".as_slice(), &inner].concat()))
}

fn blocks(depth: usize) -> Vec<u8> {
    [[0x02, 0x40].repeat(depth), vec![0x0b; depth]].concat()
}

/// `tables` times a branch to one of the `targets` blocks around it.
fn branches(tables: usize, targets: usize) -> Vec<u8> {
    let all: Vec<u8> = (0..targets).flat_map(leb).collect();
    let table = [&[0x02, 0x40, 0x41, 0, 0x0e], leb(targets).as_slice(), &all, &[0, 0x0b]].concat();
    [[0x02, 0x40].repeat(targets), table.repeat(tables), vec![0x0b; targets]].concat()
}

/// Each loop may be the last that changed each variable.
fn loops(depth: usize, locals: usize) -> Vec<u8> {
    let change = |local| [&[0x20], leb(local).as_slice(), &[0x42, 1, 0x7c, 0x21], &leb(local)].concat();
    let changes: Vec<u8> = (0..locals).flat_map(change).collect();
    let again = [0x20, 0, 0xa7, 0x0d, 0, 0x0b];
    body(locals, &[[0x03, 0x40].repeat(depth), changes, again.repeat(depth)].concat())
}

/// Tuples of two of the tuple before.
fn doubling(times: usize) -> Vec<u8> {
    // `tiny` has a type of its own, 0.
    let first = vec![0x6f, 2, 0x7f, 0x7f];
    let next = (1..times).map(|n| [vec![0x6f, 2], leb(n), leb(n)].concat());
    section(7, &list(&std::iter::once(first).chain(next).collect::<Vec<_>>()))
}

/// A component's type that holds one that holds one.
fn deep(depth: usize) -> Vec<u8> {
    let inner = (0..depth).fold(vec![0x41, 0], |inner, _| [vec![0x41, 1, 1], inner].concat());
    section(7, &list(&[inner]))
}
