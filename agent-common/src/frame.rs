//! placeholder
/// Rules of RFC 6455 section 5 that a half can break. 0 on the wire means none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Violation {
    /// A frame from the server is masked (section 5.1).
    MaskedFromServer = 1,
    /// A frame from the client is not masked (section 5.1).
    UnmaskedFromClient = 2,
    /// A reserved bit is set (section 5.2). Whether an extension defines it, user space knows.
    ReservedBits = 3,
    /// A reserved opcode (section 5.2).
    ReservedOpcode = 4,
    /// A control frame that is fragmented or longer than 125 bytes (section 5.5).
    BadControlFrame = 5,
    /// An HTTP head where a frame should be.
    HttpHead = 6,
}

impl Violation {
    /// The rule with this value on the wire.
    pub const fn from_wire(value: u8) -> Option<Self> {
        match value {
            1 => Some(Self::MaskedFromServer),
            2 => Some(Self::UnmaskedFromClient),
            3 => Some(Self::ReservedBits),
            4 => Some(Self::ReservedOpcode),
            5 => Some(Self::BadControlFrame),
            6 => Some(Self::HttpHead),
            _ => None,
        }
    }
}
