//! Hostile guests, uploads, callers and files: each row of SECURITY.md's table is a file here, and its tests are named
//! after it. At the end the table says what was tried and what came of it.

mod bombs;
mod bytes;
mod loops;
mod neighbours;
mod network;
mod report;
mod v01;
mod v02;
mod v03;
mod v04;
mod v05;
mod v06;
mod v07;
mod v08;
mod v09;
mod v10;
mod v11;
mod v12;
mod v13;
mod v14;
mod v15;
mod v16;
mod v17;
mod v18;
mod v19;
mod v20;
mod v21;
mod v22;
mod v23;
mod world;

use std::process::ExitCode;

use libtest_mimic::Arguments;

/// The rows of SECURITY's table.
pub const ROWS: usize = 23;
/// So many cases there have to be at least.
pub const MIN_CASES: usize = 300;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // The machine is shared with the guests that want all of it.
    arguments.test_threads.get_or_insert(2);
    let rows = [
        v01::tests(),
        v02::tests(),
        v03::tests(),
        v04::tests(),
        v05::tests(),
        v06::tests(),
        v07::tests(),
        v08::tests(),
        v09::tests(),
        v10::tests(),
        v11::tests(),
        v12::tests(),
        v13::tests(),
        v14::tests(),
        v15::tests(),
        v16::tests(),
        v17::tests(),
        v18::tests(),
        v19::tests(),
        v20::tests(),
        v21::tests(),
        v22::tests(),
        v23::tests(),
        neighbours::tests(),
    ];
    let trials = rows.into_iter().flatten().collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    report::print();
    println!("{} cases\n", report::count());
    let is_whole = arguments.filter.is_none() && arguments.skip.is_empty() && !arguments.list;
    if is_whole && !report::is_complete() {
        eprintln!("error: the table is to have all {ROWS} rows and {MIN_CASES} cases");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}
