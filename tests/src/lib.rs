//! What the black-box tests share: the programs they run, the world those programs talk to, and Relume itself.

pub mod alone;
pub mod browser;
pub mod component;
pub mod dice;
pub mod guests;
pub mod model;
pub mod node;
pub mod postgres;
pub mod process;
pub mod python;
pub mod raw;
pub mod server;
pub mod shop;
pub mod sql;
pub mod terminal;
pub mod transcript;
