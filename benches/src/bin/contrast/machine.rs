//! Where and when something was measured.

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
