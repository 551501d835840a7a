//! Where and when something was measured, and what it takes of the machine.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::fs;
use std::time::SystemTime;

/// `2 x AMD EPYC in a virtual machine, Linux 6.18.44`.
pub(crate) fn describe() -> String {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |line: &str| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned());
    let name = info.lines().find_map(field).unwrap_or_else(|| "CPU".to_owned());
    let release = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
    let release = release.unwrap_or_default();
    let release = release.split('-').next().unwrap_or_default();
    let virtual_machine = if info.contains("hypervisor") { " in a virtual machine" } else { "" };
    format!("{cpus} x {name}{virtual_machine}, Linux {release}")
}

/// Today, UTC: `2026-12-01`.
pub(crate) fn date() -> String {
    let mut date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    date.truncate("2026-12-01".len());
    date
}

/// Raises this process's limit of descriptors, and so that of its children: 10,000 connections, and a counter for each of
/// 10,000 threads. As far as it may: beyond that a cell fails, and says so.
pub(crate) fn allow_descriptors() {
    let limit = Resource::RLIMIT_NOFILE;
    let Ok((soft, hard)) = getrlimit(limit) else { return };
    if soft < DESCRIPTORS && setrlimit(limit, DESCRIPTORS, hard.max(DESCRIPTORS)).is_err() {
        // Only root may raise the hard one.
        let _ = setrlimit(limit, hard, hard);
    }
}

const DESCRIPTORS: u64 = 32_768;
