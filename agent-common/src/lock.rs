//! A lock that nobody waits for: BPF programs cannot block, so whoever finds it held leaves.

/// Guards what one hook may use at a time: a frame walk, since two segments of one direction may be received on two CPUs
/// at once (what comes in is not under the socket's lock yet), or a per-CPU buffer, since a softirq or another task may
/// interrupt the program that uses it.
///
/// At most one holder: the additions to the word have one order that all CPUs agree on, and a CPU reads its own addition
/// or a later value. So of those that add before the first of them leaves, only the first can read 1. None need get it: when
/// two come at once, both may read 2 and leave.
///
/// What the lock orders is up to `add`, which must be in order with the reads and writes around it: then the next holder
/// sees all that the last one wrote.
#[derive(Clone, Copy, Debug, Default)]
#[repr(transparent)]
pub struct TryLock(u32);

impl TryLock {
    /// Takes the lock; false while another has it. A segment that does not get it must not be walked: it is one that was
    /// never seen, which the walk finds out by the sequence numbers of the next.
    ///
    /// `add` adds to the word atomically, in order with the reads and writes around it.
    #[inline(always)]
    #[must_use = "without the lock, what it guards may not be used"]
    pub fn try_lock(&mut self, add: impl Fn(&mut u32, u32)) -> bool {
        add(&mut self.0, 1);
        // Volatile: another CPU writes it too.
        // SAFETY: it is a reference.
        let alone = unsafe { (&raw const self.0).read_volatile() } == 1;
        if !alone {
            self.unlock(add);
        }
        alone
    }

    /// Releases the lock.
    #[inline(always)]
    pub fn unlock(&mut self, add: impl Fn(&mut u32, u32)) {
        add(&mut self.0, u32::MAX);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    /// Where a CPU is: each of its steps is one access to the word, or its use of what the lock guards.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    enum Cpu {
        Adds,
        Reads,
        Uses,
        Leaves,
        Done,
    }

    /// Takes every step that may come next, from every state that can be reached; gives how many there are.
    fn explore(cpus: [Cpu; 3]) -> usize {
        let mut seen = HashSet::new();
        let mut left = vec![(0_u32, cpus)];
        while let Some((word, cpus)) = left.pop() {
            if !seen.insert((word, cpus)) {
                continue;
            }
            let users = cpus.iter().filter(|cpu| **cpu == Cpu::Uses).count();
            assert!(users <= 1, "{cpus:?} use it at once");
            assert!(cpus.iter().any(|cpu| *cpu != Cpu::Done) || word == 0, "it stays locked");
            for at in 0..cpus.len() {
                let (mut word, mut next) = (word, cpus);
                next[at] = match cpus[at] {
                    Cpu::Adds => {
                        word += 1;
                        Cpu::Reads
                    }
                    Cpu::Reads if word == 1 => Cpu::Uses,
                    Cpu::Reads | Cpu::Uses => Cpu::Leaves,
                    Cpu::Leaves => {
                        word -= 1;
                        Cpu::Done
                    }
                    Cpu::Done => continue,
                };
                left.push((word, next));
            }
        }
        seen.len()
    }

    #[test]
    fn in_every_interleaving_of_three_cpus_at_most_one_holds_it() {
        assert!(explore([Cpu::Adds; 3]) > 50);
    }

    #[test]
    fn a_free_lock_is_taken_once() {
        let mut lock = super::TryLock::default();
        let add = |word: &mut u32, by: u32| *word = word.wrapping_add(by);
        assert!(lock.try_lock(add));
        assert!(!lock.try_lock(add));
        lock.unlock(add);
        assert!(lock.try_lock(add));
    }
}
