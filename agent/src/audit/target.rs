//! What is audited: the URL, taken apart.

use std::fmt;

use crate::http::MASKED;

/// A `ws` or `wss` URL (RFC 6455 section 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `wss`.
    pub secure: bool,
    /// The host as it stands in `Host`: a name, an IPv4 address, or an IPv6 address in brackets.
    pub host: String,
    /// The port that is connected to.
    pub port: u16,
    /// The path, at least `/`.
    pub path: String,
    /// The query without `?`, if there is one. It may hold a token: never shown.
    pub query: Option<String>,
}

impl Target {
    /// Takes a URL apart; the message says what is wrong with it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let uri: http::Uri =
            url.parse().map_err(|_| "write a URL such as wss://app.example.com/ws".to_owned())?;
        let secure = match uri.scheme_str() {
            Some("wss" | "https") => true,
            Some("ws" | "http") => false,
            _ => return Err("begin the URL with wss:// or ws://".to_owned()),
        };
        let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        if authority.contains('@') {
            return Err("leave name and password out of the URL: use --header".to_owned());
        }
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        if host.is_empty() {
            return Err("name a host in the URL".to_owned());
        }
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let path = if uri.path().is_empty() { "/" } else { uri.path() };
        Ok(Self {
            secure,
            host,
            port,
            path: path.to_owned(),
            query: uri.query().map(str::to_owned),
        })
    }

    /// The same host with another path.
    #[must_use]
    pub fn at(&self, path: &str) -> Self {
        let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q)));
        Self { path: path.to_owned(), query: query.map(str::to_owned), ..self.clone() }
    }

    /// What stands in `Host`: without the port when it is the scheme's own (RFC 9110 section 7.2).
    pub fn authority(&self) -> String {
        if self.port == if self.secure { 443 } else { 80 } {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The origin of a page of the same site.
    pub fn own_origin(&self) -> String {
        format!("{}://{}", if self.secure { "https" } else { "http" }, self.authority())
    }

    /// The target of the request line.
    pub fn request_target(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    /// The name to look up and to ask for by SNI: without the brackets of an IPv6 address.
    pub fn name(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

/// As reports name it: the query is masked.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)?;
        if self.query.is_some() {
            write!(f, "?{MASKED}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let target = Target::parse("wss://App.Example.com/ws?token=s3cret").unwrap();
        assert_eq!((target.secure, target.port, target.name()), (true, 443, "app.example.com"));
        assert_eq!(target.request_target(), "/ws?token=s3cret");
        assert_eq!(target.own_origin(), "https://app.example.com");
        assert_eq!(target.to_string(), "wss://app.example.com/ws?<masked>");
        let target = Target::parse("ws://[::1]:8080").unwrap();
        assert_eq!(
            (&*target.authority(), target.name(), &*target.path),
            ("[::1]:8080", "::1", "/")
        );
        assert_eq!(target.at("/a?b=c").request_target(), "/a?b=c");
    }

    #[test]
    fn what_is_no_websocket_url_is_refused() {
        for url in
            ["app.example.com/ws", "ftp://a/", "wss://", "wss://u:p@a/", "wss://grüße.example/"]
        {
            assert!(Target::parse(url).is_err(), "{url}");
        }
    }
}
