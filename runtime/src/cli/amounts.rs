//! How are amounts written? Short enough to be compared: `1.2 M` of fuel, `3.4 MiB`.

/// A count with three digits or so: `999`, `1.2 k`, `34.5 M`.
pub fn count(count: u64) -> String {
    scaled(count, 1000.0, &["", " k", " M", " G", " T", " P", " E"])
}

/// Bytes in the unit that suits them: `0 B`, `1.5 KiB`, `64.0 MiB`.
pub fn bytes(bytes: u64) -> String {
    scaled(bytes, 1024.0, &[" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"])
}

fn scaled(amount: u64, step: f64, units: &[&str]) -> String {
    let (mut scaled, mut units) = (amount as f64, units);
    // What would be rounded up to a whole step is written in the next unit.
    while let [_, larger @ ..] = units
        && !larger.is_empty()
        && scaled >= step - 0.05
    {
        (scaled, units) = (scaled / step, larger);
    }
    let unit = units.first().copied().unwrap_or_default();
    if amount < step as u64 { format!("{amount}{unit}") } else { format!("{scaled:.1}{unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_has_the_unit_that_suits_it() {
        let check = |amount, expected: &str| assert_eq!(count(amount), expected);
        check(0, "0");
        check(999, "999");
        check(1000, "1.0 k");
        check(999_949, "999.9 k");
        check(999_950, "1.0 M");
        check(34_512_345, "34.5 M");
        check(u64::MAX, "18.4 E");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1024), "1.0 KiB");
        assert_eq!(bytes(64 << 20), "64.0 MiB");
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
    }
}
