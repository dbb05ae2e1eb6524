//! What a request lacks or has that a server may look at: the features in which causes lie.
//!
//! The same set is asked of the request under judgement and remembered of those that its server let pass.

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::{
    diagnose::{
        client::{self, FetchSite},
        forwarded,
        origin::{Authority, OriginField},
    },
    http::{Defect, Headers, RequestHead, Version},
};

/// A set of features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::diagnose) struct Features(u32);

impl Features {
    pub(in crate::diagnose) const NONE: Self = Self(0);
    /// No `Upgrade`.
    pub(in crate::diagnose) const NO_UPGRADE: Self = Self(1);
    /// `Upgrade` without `websocket`.
    pub(in crate::diagnose) const OTHER_UPGRADE: Self = Self(1 << 1);
    /// `Connection` without `upgrade`.
    pub(in crate::diagnose) const NO_CONNECTION: Self = Self(1 << 2);
    /// No `Sec-WebSocket-Key`.
    pub(in crate::diagnose) const NO_KEY: Self = Self(1 << 3);
    /// A key that is not 16 bytes in base64.
    pub(in crate::diagnose) const BAD_KEY: Self = Self(1 << 4);
    /// A version that is not 13, or none.
    pub(in crate::diagnose) const OTHER_VERSION: Self = Self(1 << 5);
    /// HTTP/1.0.
    pub(in crate::diagnose) const HTTP10: Self = Self(1 << 6);
    /// Another method than GET.
    pub(in crate::diagnose) const OTHER_METHOD: Self = Self(1 << 7);
    /// No `Host`.
    pub(in crate::diagnose) const NO_HOST: Self = Self(1 << 8);
    /// No `Origin`.
    pub(in crate::diagnose) const NO_ORIGIN: Self = Self(1 << 9);
    /// `Origin: null`.
    pub(in crate::diagnose) const NULL_ORIGIN: Self = Self(1 << 10);
    /// `Origin` is not a serialised origin, or there are several.
    pub(in crate::diagnose) const BAD_ORIGIN: Self = Self(1 << 11);
    /// `Origin` and `Host` name different hosts.
    pub(in crate::diagnose) const HOST_DIFFERS: Self = Self(1 << 12);
    /// They name the same host and different ports.
    pub(in crate::diagnose) const PORT_DIFFERS: Self = Self(1 << 13);
    /// An `https` page, and no hop says so.
    pub(in crate::diagnose) const SCHEME_UNTOLD: Self = Self(1 << 14);
    /// A hop says another scheme than the page's.
    pub(in crate::diagnose) const SCHEME_DIFFERS: Self = Self(1 << 15);
    /// `Origin` is of no host that `Host` or a proxy names.
    pub(in crate::diagnose) const FOREIGN: Self = Self(1 << 16);
    /// Host and port of `Origin` are those of `Host`.
    pub(in crate::diagnose) const OWN_PAGE: Self = Self(1 << 17);
    /// No subprotocol is offered.
    pub(in crate::diagnose) const NO_SUBPROTOCOL: Self = Self(1 << 18);
    /// It came through a proxy.
    pub(in crate::diagnose) const PROXIED: Self = Self(1 << 19);

    /// What RFC 6455 section 4.1 wants otherwise.
    pub(in crate::diagnose) const DEFECTS: Self = Self::NO_UPGRADE
        .with(Self::OTHER_UPGRADE)
        .with(Self::NO_CONNECTION)
        .with(Self::NO_KEY)
        .with(Self::BAD_KEY)
        .with(Self::OTHER_VERSION)
        .with(Self::HTTP10)
        .with(Self::OTHER_METHOD)
        .with(Self::NO_HOST);

    pub(in crate::diagnose) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(in crate::diagnose) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether any of `other` is in it.
    pub(in crate::diagnose) const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether all of `other` are in it.
    pub(in crate::diagnose) const fn all(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// What is in both.
    pub(in crate::diagnose) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    const fn when(self, holds: bool) -> Self {
        if holds { self } else { Self::NONE }
    }

    /// The features of `request`. Of a head whose end was not seen nothing is known to be absent.
    pub(in crate::diagnose) fn of(request: &RequestHead) -> Self {
        let headers = &request.headers;
        let whole = request.defect != Some(Defect::Truncated);
        let upgrade = has_value(headers, "upgrade");
        let key = request.key.as_ref().map(|key| key.reveal().trim()).unwrap_or_default();
        let version = headers.first("sec-websocket-version").map(str::trim);
        [
            Self::NO_UPGRADE.when(!upgrade && whole),
            Self::OTHER_UPGRADE.when(upgrade && !headers.has_token("upgrade", "websocket")),
            Self::NO_CONNECTION.when(!headers.has_token("connection", "upgrade") && whole),
            Self::NO_KEY.when(key.is_empty() && whole),
            Self::BAD_KEY.when(!key.is_empty() && !key_is_sound(key)),
            Self::OTHER_VERSION.when(version.map_or(whole, |version| version != "13")),
            Self::HTTP10.when(request.version == Version::Http10),
            Self::OTHER_METHOD.when(&*request.method != "GET"),
            Self::NO_HOST.when(!headers.has("host") && whole),
            Self::NO_SUBPROTOCOL.when(request.subprotocols.is_empty() && whole),
            Self::PROXIED.when(forwarded::proxied(request)),
            of_origin(request, whole),
        ]
        .into_iter()
        .fold(Self::NONE, Self::with)
    }
}

fn of_origin(request: &RequestHead, whole: bool) -> Features {
    let origin = match OriginField::of(request) {
        OriginField::Absent => return Features::NO_ORIGIN.when(whole),
        OriginField::Opaque => return Features::NULL_ORIGIN,
        OriginField::Malformed | OriginField::Several => return Features::BAD_ORIGIN,
        OriginField::One(origin) => origin,
    };
    let headers = &request.headers;
    let host = headers.first("host").and_then(Authority::parse);
    let same_name = host.as_ref().is_some_and(|host| host.host == origin.authority.host);
    let same = host.as_ref() == Some(&origin.authority);
    let named = forwarded::hosts(headers).iter().any(|host| host.host == origin.authority.host);
    let told = forwarded::schemes(headers);
    let own = client::fetch_site(request) == Some(FetchSite::SameOrigin);
    [
        Features::HOST_DIFFERS.when(host.is_some() && !same_name),
        Features::PORT_DIFFERS.when(same_name && !same),
        Features::SCHEME_UNTOLD.when(told.is_empty() && origin.scheme == "https"),
        Features::SCHEME_DIFFERS.when(told.iter().any(|(_, scheme)| *scheme != origin.scheme)),
        Features::FOREIGN.when(!same_name && !named && !own),
        Features::OWN_PAGE.when(same),
    ]
    .into_iter()
    .fold(Features::NONE, Features::with)
}

fn has_value(headers: &Headers, name: &str) -> bool {
    headers.all(name).any(|value| !value.trim().is_empty())
}

/// Whether the key is 16 bytes in base64 (RFC 6455 section 4.1).
pub(in crate::diagnose) fn key_is_sound(key: &str) -> bool {
    BASE64_STANDARD.decode(key.trim()).is_ok_and(|bytes| bytes.len() == 16)
}
