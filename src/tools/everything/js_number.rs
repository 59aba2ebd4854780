//! Numbers in texts.

use std::fmt;

/// A number as JavaScript writes it.
pub(super) struct JsNumber(pub(super) f64);

impl fmt::Display for JsNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value) = *self;
        if value == 0.0 {
            return f.write_str("0");
        }
        if value.is_infinite() {
            return f.write_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
        }
        if (1e-6..1e21).contains(&value.abs()) {
            return write!(f, "{value}");
        }
        let text = format!("{value:e}");
        f.write_str(&if text.contains("e-") { text } else { text.replace('e', "e+") })
    }
}

#[cfg(test)]
mod tests {
    use super::JsNumber;

    #[test]
    fn numbers_are_written_as_javascript_does() {
        for (value, want) in [
            (3.0, "3"),
            (-0.0, "0"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (1e20, "100000000000000000000"),
            (1e-7, "1e-7"),
            (0.000_001, "0.000001"),
            (f64::INFINITY, "Infinity"),
            (-2.5, "-2.5"),
        ] {
            assert_eq!(JsNumber(value).to_string(), want);
        }
    }
}
