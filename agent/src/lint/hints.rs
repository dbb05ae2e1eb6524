//! Which routes are WebSocket's: nobody writes it down, so it is concluded, and the conclusion is told.
//!
//! A rule that takes every route for a WebSocket's would cry wolf at each `/static/`; one that takes none would pass what it
//! did not look at. So there are four degrees ([`Role`]), and when no route is more than a guess, the report says so.

use super::{
    model::{Paths, Product, Route, Written},
    rules::Rule,
};

/// How sure it is that handshakes come to a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// The user named a path that it takes.
    Asked(String),
    /// The configuration says so, or the path's name does: why.
    Meant(String),
    /// It takes every path that no other route takes, and an upgrade would pass: what it is told to change is judged mildly.
    Perhaps,
    /// Nothing points to it.
    Other,
}

/// Words of paths and of backends' names that mean WebSocket.
const WORDS: [&str; 22] = [
    "ws",
    "wss",
    "websocket",
    "websockets",
    "websockify",
    "webskt",
    "socket",
    "sockets",
    "sockjs",
    "socketio",
    "cable",
    "signalr",
    "hub",
    "hubs",
    "stomp",
    "mqtt",
    "realtime",
    "subscriptions",
    "graphqlws",
    "hmr",
    "ttyd",
    "blazor",
];

/// Whether one of the words of `text` means WebSocket: `/api/ws/`, `ws_backend`, `chatHub`.
pub fn names_websocket(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    // A regular expression writes `socket\.io`.
    let plain = lower.replace(['\\', '^', '$'], " ");
    plain.contains("socket.io")
        || plain.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| {
            WORDS.contains(&word)
                || word.contains("websocket")
                || word.ends_with("hub") && word != "github"
        })
}

impl Route {
    /// Whether it takes whatever no other route takes.
    pub fn is_catch_all(&self) -> bool {
        match &self.paths {
            Paths::All => true,
            Paths::Prefix(path) | Paths::Final(path) => matches!(path.as_str(), "/" | ""),
            Paths::Regex(path) => matches!(
                path.as_str(),
                "^/" | "/"
                    | ".*"
                    | "^/.*"
                    | "^/(.*)$"
                    | "^/(.*)"
                    | "/.*"
                    | "/(.*)"
                    | "^(.*)$"
                    | "^"
            ),
            Paths::Exact(_) | Paths::Unknown => false,
        }
    }

    /// The path or pattern that it takes.
    fn path(&self) -> &str {
        match &self.paths {
            Paths::Exact(path) | Paths::Prefix(path) | Paths::Final(path) | Paths::Regex(path) => {
                path
            }
            Paths::All => "/",
            Paths::Unknown => "",
        }
    }

    /// Whether its paths include this one; none when it cannot be told.
    fn takes(&self, path: &str) -> Option<bool> {
        match &self.paths {
            Paths::All => Some(true),
            Paths::Exact(exact) => Some(exact == path),
            Paths::Prefix(prefix) | Paths::Final(prefix) => Some(path.starts_with(prefix.as_str())),
            Paths::Regex(text) => {
                let built = regex::RegexBuilder::new(text).size_limit(1 << 20).build();
                built.ok().map(|expression| expression.is_match(path))
            }
            Paths::Unknown => None,
        }
    }
}

/// The role of each route; `asked`: the paths that the user named.
pub fn roles(routes: &[Route], asked: &[String]) -> Vec<Role> {
    let chosen: Vec<(usize, &String)> = asked
        .iter()
        .flat_map(|path| serving(routes, path).into_iter().map(move |index| (index, path)))
        .collect();
    routes
        .iter()
        .enumerate()
        .map(|(index, route)| {
            if !asked.is_empty() {
                let mine = chosen.iter().find(|(at, _)| *at == index);
                return mine.map_or(Role::Other, |(_, path)| Role::Asked((*path).clone()));
            }
            if let Some(Written { place, text }) = &route.hint {
                Role::Meant(format!("{text} ({place})"))
            } else if names_websocket(route.path()) {
                Role::Meant(format!("the path's name, {}", route.path()))
            } else if route.is_catch_all()
                && route.forwards
                && !route
                    .oddities
                    .iter()
                    .any(|odd| matches!(odd.rule, Rule::UpgradeRefused | Rule::UpgradeNotPassed))
                && route.arrived.handshake.text("upgrade") == Some("websocket")
            {
                Role::Perhaps
            } else {
                Role::Other
            }
        })
        .collect()
}

/// The routes that take a path: one of each site, or several where it cannot be told which.
fn serving(routes: &[Route], path: &str) -> Vec<usize> {
    let mut sites: Vec<&str> = Vec::new();
    for route in routes {
        if !sites.contains(&route.site.as_str()) {
            sites.push(&route.site);
        }
    }
    let mut chosen = Vec::new();
    for site in sites {
        let here = || routes.iter().enumerate().filter(|(_, route)| route.site == site);
        chosen.extend(
            here().filter(|(_, route)| route.takes(path).is_none()).map(|(index, _)| index),
        );
        let mut taking = here().filter(|(_, route)| route.takes(path) == Some(true));
        let first_wins = routes.first().is_some_and(|route| {
            matches!(route.product, Product::Haproxy | Product::Apache | Product::Envoy)
        });
        let best = if first_wins { taking.next() } else { best(taking.collect()) };
        chosen.extend(best.map(|(index, _)| index));
    }
    chosen
}

/// The route that wins where the longest path does, with nginx's two exceptions: `^~`, and regular expressions in their order.
fn best(taking: Vec<(usize, &Route)>) -> Option<(usize, &Route)> {
    let exact = taking.iter().find(|(_, route)| matches!(route.paths, Paths::Exact(_)));
    if let Some(exact) = exact {
        return Some(*exact);
    }
    let is_expression = |route: &Route| matches!(route.paths, Paths::Regex(_));
    let longest = taking
        .iter()
        .filter(|(_, route)| !is_expression(route))
        .max_by_key(|(index, route)| (route.path().len(), std::cmp::Reverse(*index)));
    if let Some(last) = longest.filter(|(_, route)| matches!(route.paths, Paths::Final(_))) {
        return Some(*last);
    }
    taking.iter().find(|(_, route)| is_expression(route)).or(longest).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::model::Place;

    #[test]
    fn names_of_sockets_are_known_and_others_are_not() {
        for name in [
            "/ws",
            "/api/ws/",
            "/socket.io/",
            r"^/socket\.io/",
            "ws_backend",
            "/chatHub",
            "/cable",
            "/sockjs-node",
            "/_next/webpack-hmr",
            "/websocket2",
            "wss",
            "/live/websocket",
        ] {
            assert!(names_websocket(name), "{name}");
        }
        for name in ["/", "/static/", "/api/news", "/rows", "/github/", "", "/windows", "/swss1"] {
            assert!(!names_websocket(name), "{name}");
        }
    }

    #[test]
    fn the_location_that_nginx_would_take_is_chosen() {
        let place = Place { file: "nginx.conf".into(), line: 1 };
        let make = |paths: Paths| {
            let mut route = Route::new(Product::Nginx, place.clone(), "a", "x".into());
            route.paths = paths;
            route
        };
        let routes = [
            make(Paths::All),
            make(Paths::Prefix("/ws".into())),
            make(Paths::Regex(r"\.php$".into())),
            make(Paths::Regex("^/ws/.*$".into())),
            make(Paths::Exact("/ws/a".into())),
            make(Paths::Final("/ws/keep/".into())),
        ];
        for (path, want) in
            [("/x", 0), ("/ws", 1), ("/ws/x.php", 2), ("/ws/x", 3), ("/ws/a", 4), ("/ws/keep/x", 5)]
        {
            assert_eq!(serving(&routes, path), [want], "{path}");
        }
    }
}
