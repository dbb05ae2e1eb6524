//! Other agents' programs that work on the same sockets.

use aya::programs::{self, ProgramType};

use super::is_permission;

/// A program that somebody loaded, of a kind that shares the sockets with ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedProgram {
    /// Its name, as `bpftool prog` shows it.
    pub name: String,
    /// Where it works.
    pub place: Place,
}

/// Where another agent's program works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On cgroups: packets and connections, as ours do.
    Cgroup,
    /// On sockmaps: may pass bytes from socket to socket, so that they never become packets.
    Sockmap,
}

/// What others loaded; `None` when listing it is not permitted (CAP_SYS_ADMIN).
pub fn loaded_programs() -> Option<Vec<LoadedProgram>> {
    let mut found = Vec::new();
    for program in programs::loaded_programs() {
        let program = match program {
            Ok(program) => program,
            Err(error) if is_permission(&error) => return None,
            // It was unloaded while we looked.
            Err(_) => continue,
        };
        let kind = program.program_type();
        let is = |one: ProgramType, other: ProgramType| kind == one.into() || kind == other.into();
        let place = if is(ProgramType::CgroupSkb, ProgramType::SockOps) {
            Place::Cgroup
        } else if is(ProgramType::SkMsg, ProgramType::SkSkb) {
            Place::Sockmap
        } else {
            continue;
        };
        let name = String::from_utf8_lossy(program.name()).into_owned();
        found.push(LoadedProgram { name, place });
    }
    Some(found)
}
