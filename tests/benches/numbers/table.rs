//! What was measured, each figure beside a baseline of the same run: the machine is as fast as it is, and what counts
//! is the ratio.

use std::time::Duration;

use tokio::time::Instant;

/// A figure with its baseline.
pub struct Figure {
    pub what: String,
    pub ours: String,
    pub baseline: String,
    pub ratio: Option<f64>,
    pub target: &'static str,
}

impl Figure {
    /// A length of time, and how many times the baseline's it is.
    pub fn time(
        what: impl Into<String>,
        ours: Duration,
        (name, baseline): (&str, Duration),
        target: &'static str,
    ) -> Self {
        Figure {
            what: what.into(),
            ours: text(ours),
            baseline: format!("{name}: {}", text(baseline)),
            ratio: Some(ours.as_secs_f64() / baseline.as_secs_f64()),
            target,
        }
    }

    /// How often a second, and which part of the baseline that is.
    pub fn rate(what: impl Into<String>, ours: f64, (name, baseline): (&str, f64), target: &'static str) -> Self {
        Figure {
            what: what.into(),
            ours: format!("{ours:.0}/s"),
            baseline: format!("{name}: {baseline:.0}/s"),
            ratio: Some(ours / baseline),
            target,
        }
    }

    /// A figure that has no baseline but its target.
    pub fn alone(what: impl Into<String>, ours: String, target: &'static str) -> Self {
        Figure { what: what.into(), ours, baseline: String::new(), ratio: None, target }
    }
}

/// Prints the figures as a Markdown table.
pub fn print(figures: &[Figure]) {
    let heading = ["", "Relume", "baseline of the same run", "ratio", "target"].map(str::to_owned);
    let rows = figures.iter().map(|figure| {
        let ratio = figure.ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
        [figure.what.clone(), figure.ours.clone(), figure.baseline.clone(), ratio, figure.target.to_owned()]
    });
    let rows: Vec<_> = std::iter::once(heading).chain(rows).collect();
    let widths: [usize; 5] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    for (number, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!(" {cell:<width$} |"));
        println!("|{}", cells.collect::<String>());
        if number == 0 {
            println!("|{}", widths.map(|width| format!("{}|", "-".repeat(width + 2))).concat());
        }
    }
}

/// The middle one.
pub fn median<T: PartialOrd + Copy>(mut all: Vec<T>) -> T {
    all.sort_by(|a, b| a.partial_cmp(b).expect("figures can be compared"));
    all[all.len() / 2]
}

/// How long it takes.
pub async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    let answer = work.await;
    (answer, began.elapsed())
}

fn text(duration: Duration) -> String {
    let micros = duration.as_secs_f64() * 1e6;
    match micros {
        ..1_000.0 => format!("{micros:.0} µs"),
        ..100_000.0 => format!("{:.2} ms", micros / 1e3),
        _ => format!("{:.0} ms", micros / 1e3),
    }
}
