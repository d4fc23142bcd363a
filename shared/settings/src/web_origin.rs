//! Origins of web pages: scheme, host and port.

/// Where a web page comes from, as browsers name it: `https://app.example.com` or `http://localhost:5173`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebOrigin(String);

impl WebOrigin {
    /// The origin as browsers write it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Several, separated by commas; none if any of them is no origin.
    pub(crate) fn parse_list(text: &str) -> Option<Vec<Self>> {
        text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(Self::parse).collect()
    }

    /// Nothing but the origin may be given: a path would be taken for a bound that nobody checks.
    fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
        (!host.is_empty() && host.bytes().all(plain)).then_some(Self(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_scheme_host_and_port_alone() {
        let origins = WebOrigin::parse_list("https://App.example.com, http://localhost:5173,").unwrap();
        let texts: Vec<_> = origins.iter().map(WebOrigin::as_str).collect();
        assert_eq!(texts, ["https://app.example.com", "http://localhost:5173"]);
        assert_eq!(WebOrigin::parse_list(""), Some(Vec::new()));
        for none in
            ["*", "app.example.com", "https://a.example/", "https://a.example/x", "file:///x", "https://u@a.example"]
        {
            assert_eq!(WebOrigin::parse_list(none), None, "{none}");
        }
    }
}
