//! What this process holds, the kernel's part included.

use std::fs;
use std::io;

/// Memory of the calling process at one moment, in bytes.
///
/// # Simplification
/// The kernel's own records of a thread (`task_struct`, its FPU state, its mappings) and of a socket are left out, because
/// `/proc` tells them only for the whole machine: threads look cheaper here than they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident pages.
    pub resident: u64,
    /// Page tables.
    pub page_tables: u64,
    /// Kernel stacks: the process's threads, each at the machine's average.
    pub kernel_stacks: u64,
    /// How many threads the process has; not bytes.
    pub threads: u64,
}

impl Memory {
    /// Reads it from `/proc`.
    ///
    /// # Errors
    /// When `/proc` is missing or a line in it is.
    pub fn now() -> io::Result<Memory> {
        let status = fs::read_to_string("/proc/self/status")?;
        // The counters behind VmRSS are kept per CPU and lag behind; the roll-up walks the pages.
        let rollup = fs::read_to_string("/proc/self/smaps_rollup")?;
        let meminfo = fs::read_to_string("/proc/meminfo")?;
        let loadavg = fs::read_to_string("/proc/loadavg")?;
        let threads = number_of(&status, "Threads:")?;
        let kernel_stack = kib(&meminfo, "KernelStack:")? / threads_of_the_machine(&loadavg)?.max(1);
        Ok(Memory {
            resident: kib(&rollup, "Rss:")?,
            page_tables: kib(&status, "VmPTE:")?,
            kernel_stacks: threads * kernel_stack,
            threads,
        })
    }

    /// Bytes of all kinds together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.resident + self.page_tables + self.kernel_stacks
    }
}

fn kib(text: &str, name: &str) -> io::Result<u64> {
    Ok(number_of(text, name)? * 1024)
}

fn number_of(text: &str, name: &str) -> io::Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok());
    number.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("/proc has no number for {name}")))
}

/// The fourth field of `/proc/loadavg` is `runnable/all`, counted in threads.
fn threads_of_the_machine(loadavg: &str) -> io::Result<u64> {
    let all = loadavg.split_whitespace().nth(3).and_then(|field| field.split_once('/'));
    let all = all.and_then(|(_, all)| all.parse().ok());
    all.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/loadavg has no number of threads"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_proc_are_found() {
        let text = "VmPTE:\t      88 kB\nThreads:\t3\nRss:    1200 kB\n";
        assert_eq!(kib(text, "VmPTE:").unwrap(), 88 * 1024);
        assert_eq!(number_of(text, "Threads:").unwrap(), 3);
        assert!(number_of(text, "VmRSS:").is_err());
        assert_eq!(threads_of_the_machine("0.64 1.20 1.44 2/389 51234").unwrap(), 389);
        assert!(threads_of_the_machine("").is_err());
    }

    #[test]
    fn what_is_touched_is_seen() {
        let before = Memory::now().unwrap();
        let touched = vec![1_u8; 32 << 20];
        let after = Memory::now().unwrap();
        assert!(after.resident >= before.resident + (30 << 20), "{before:?} {after:?} {}", touched[7]);
    }
}
