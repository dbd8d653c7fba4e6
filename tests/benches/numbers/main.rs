//! The numbers of the README: `cargo bench -p relume-tests --bench numbers`. Words after `--` choose among them:
//! `guests`, `dev`, `sqlite`, `postgres`, `waits`.

mod bare;
mod databases;
mod dev;
mod guests;
mod table;
mod waits;

use relume_tests::node::Node;

#[tokio::main]
async fn main() {
    // Cargo adds `--bench`.
    let chosen: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_chosen = |word: &str| chosen.is_empty() || chosen.iter().any(|chosen| chosen == word);
    let mut figures = vec![];
    if is_chosen("guests") {
        figures.push(guests::warm_start().await);
        figures.push(guests::replay().await);
    }
    if is_chosen("dev") {
        figures.extend(dev::figures());
    }
    if is_chosen("sqlite") {
        figures.extend(databases::figures("SQLite", Node::sqlite().await).await);
    }
    if is_chosen("postgres") {
        figures.extend(databases::figures("Postgres", Node::postgres().await).await);
    }
    if is_chosen("waits") {
        figures.extend(waits::figures("Postgres", Node::postgres().await).await);
    }
    table::print(&figures);
}
