//! Header fields of a request, whether hyper or the fast path has read them.

use hyper::header::{
    ACCEPT_ENCODING, DNT, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, ORIGIN, REFERER,
    USER_AGENT,
};

/// A header field that some endpoint reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Host,
    Origin,
    UserAgent,
    SecPurpose,
    Purpose,
    XMoz,
    XPurpose,
    SecFetchMode,
    Dnt,
    SecGpc,
    XForwardedFor,
    Forwarded,
    XRequestId,
    IfNoneMatch,
    Referer,
    AcceptEncoding,
}

impl Field {
    pub const COUNT: usize = Self::AcceptEncoding as usize + 1;

    pub const fn name(self) -> HeaderName {
        match self {
            Self::Host => HOST,
            Self::Origin => ORIGIN,
            Self::UserAgent => USER_AGENT,
            Self::SecPurpose => HeaderName::from_static("sec-purpose"),
            Self::Purpose => HeaderName::from_static("purpose"),
            Self::XMoz => HeaderName::from_static("x-moz"),
            Self::XPurpose => HeaderName::from_static("x-purpose"),
            Self::SecFetchMode => HeaderName::from_static("sec-fetch-mode"),
            Self::Dnt => DNT,
            Self::SecGpc => HeaderName::from_static("sec-gpc"),
            Self::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
            Self::Forwarded => FORWARDED,
            Self::XRequestId => HeaderName::from_static("x-request-id"),
            Self::IfNoneMatch => IF_NONE_MATCH,
            Self::Referer => REFERER,
            Self::AcceptEncoding => ACCEPT_ENCODING,
        }
    }
}

/// A request's header fields.
pub trait HeaderFields {
    /// A field's values, in the order of their lines.
    fn values(&self, field: Field) -> impl DoubleEndedIterator<Item = &[u8]>;

    fn first(&self, field: Field) -> Option<&[u8]> {
        self.values(field).next()
    }
}

/// A value that is ASCII text; any other has no meaning here.
pub fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok().filter(|text| text.is_ascii())
}

impl HeaderFields for HeaderMap {
    fn values(&self, field: Field) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.get_all(field.name()).iter().map(HeaderValue::as_bytes)
    }
}
