//! The contract between the kernel half and user space, and the stream machine.
#![no_std]
