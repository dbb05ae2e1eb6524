//! Which bytes of a connection are worth telling user space: the stream machine.
//!
//! A connection is two halves: the direction that requests travel in and the one that responds. The
//! two hooks run at the same time on different CPUs, so each half is written by one hook only, and
//! what a half may know of the other is one word ([`RequestHalf::word`], [`ResponseHalf::word`]).
//!
//! ```text
//!  request half                                   response half
//!  Idle --request without the word---> Idle       Quiet --a request is pending--> Status
//!  Idle --with content, without it---> Busy       Status --1xx--> Status
//!  Busy --an answer began------------> Idle       Status --101, head ended--> Tunnel
//!  Idle --the word, or no head's end-> Head       Status --any other--> Rest (up to REST_CAP)
//!  Idle --presumed, when crowded-----> Head
//!  Head --bytes behind the head------> Early      Rest --a request is pending--> Status
//!  Head --answered, not 101----------> Idle       Tunnel: the frame walk
//!  Head, Early --answered 101--------> Tunnel
//! ```
//! A connection without a state that carries frames ([`older`]) begins with both halves in Tunnel.
//!
//! The machine is pure: no maps, no context, no clock. The kernel and the replay feed the same code.

mod halves;
pub mod observe;
pub mod older;
mod request;
mod response;
pub mod scan;
pub mod segment;
pub mod sequence;

pub use halves::{RequestHalf, ResponseHalf};
pub use request::request;
pub use response::response;
pub use segment::{HEAD_CAP, NO_FRAMES, REST_CAP, Segment, Step};
