//! Components written byte by byte, which no tool would make.

use std::sync::LazyLock;

/// A component that is an app and returns at once.
pub fn tiny() -> Vec<u8> {
    wat::parse_str(
        r#"(component
            (core module $m (func (export "run") (result i32) i32.const 0))
            (core instance $i (instantiate $m))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $r (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $r)))"#,
    )
    .expect("it is right")
}

/// The same with this core module in place of its own. It has to export `run`.
pub fn app_of(module: &[u8]) -> Vec<u8> {
    static TINY: LazyLock<Vec<u8>> = LazyLock::new(tiny);
    let (sections, tiny) = (sections(&TINY), &*TINY);
    assert_eq!(tiny[sections[0]], 1, "the core module comes first");
    [&tiny[..sections[0]], &section(1, module), &tiny[sections[1]..]].concat()
}

/// The same with these sections behind its own.
pub fn app_with(sections: &[Vec<u8>]) -> Vec<u8> {
    [tiny(), sections.concat()].concat()
}

/// A module with `run`, and functions of these bodies that take and return nothing.
pub fn module_of(bodies: &[Vec<u8>]) -> Vec<u8> {
    let types = list(&[vec![0x60, 0, 1, 0x7f], vec![0x60, 0, 0]]);
    let functions = list(&std::iter::once(vec![0]).chain(bodies.iter().map(|_| vec![1])).collect::<Vec<_>>());
    let exports = list(&[[text("run"), vec![0, 0]].concat()]);
    let run = vec![0, 0x41, 0, 0x0b];
    let with_length = |body: &Vec<u8>| [leb(body.len()), body.clone()].concat();
    let code = list(&std::iter::once(&run).chain(bodies).map(with_length).collect::<Vec<_>>());
    [b"\0asm\x01\0\0\0".to_vec(), section(1, &types), section(3, &functions), section(7, &exports), section(10, &code)]
        .concat()
}

/// A function's body with `locals` variables of 64 bits.
pub fn body(locals: usize, code: &[u8]) -> Vec<u8> {
    let locals = if locals == 0 { vec![0] } else { [vec![1], leb(locals), vec![0x7e]].concat() };
    [locals.as_slice(), code, &[0x0b]].concat()
}

pub fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id], leb(content.len()).as_slice(), content].concat()
}

/// How many, and then each.
pub fn list(items: &[Vec<u8>]) -> Vec<u8> {
    [leb(items.len()), items.concat()].concat()
}

pub fn text(text: &str) -> Vec<u8> {
    [leb(text.len()), text.as_bytes().to_vec()].concat()
}

pub fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = vec![];
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        bytes.push(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            return bytes;
        }
    }
}

/// Where each section of a component begins.
pub fn sections(component: &[u8]) -> Vec<usize> {
    let (mut starts, mut at) = (vec![], 8);
    while at < component.len() {
        starts.push(at);
        let (mut length, mut shift) = (0, 0);
        at += 1;
        loop {
            let byte = component[at];
            length |= usize::from(byte & 0x7f) << shift;
            (at, shift) = (at + 1, shift + 7);
            if byte < 0x80 {
                break;
            }
        }
        at += length;
    }
    starts
}

/// A component's import of an instance.
pub fn import(name: &str) -> Vec<u8> {
    [vec![0], text(name), vec![5, 0]].concat()
}

/// A component's export of its first instance.
pub fn export(name: &str) -> Vec<u8> {
    [vec![0], text(name), vec![5, 0, 0]].concat()
}
