//! What a script chooses before its first event: options, and the commands that prepare its host.

use crate::model::{Position, Script};
use crate::runner::Fault;
use std::time::Duration;

/// A version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V4,
    V6,
}

/// See the [module](self).
pub(crate) struct Settings {
    pub(crate) version: Version,
    /// How far a packet or the end of a call may lie from its time. Time is virtual and nothing is late by chance, so
    /// it only covers what kernels round: a millisecond.
    pub(crate) tolerance: Duration,
    pub(crate) rcvbuf: Option<usize>,
    pub(crate) sndbuf: Option<usize>,
    pub(crate) sysctls: Vec<(String, u32)>,
}

impl Settings {
    /// # Errors
    /// When something is not supported.
    pub(crate) fn read(script: &Script, version: Version) -> Result<Settings, Fault> {
        let tolerance = Duration::from_millis(1);
        let mut settings = Settings { version, tolerance, rcvbuf: None, sndbuf: None, sysctls: Vec::new() };
        for option in &script.options {
            let fault = |message| Fault { at: option.at, message };
            let number = || {
                let number = option.value.parse::<u64>();
                number.map_err(|_| fault(format!("--{} is a number, not {:?}", option.name, option.value)))
            };
            match (option.name.as_str(), option.value.as_str()) {
                ("tolerance_usecs", _) => settings.tolerance = Duration::from_micros(number()?),
                ("rcvbuf", _) => settings.rcvbuf = Some(number()? as usize),
                ("sndbuf", _) => settings.sndbuf = Some(number()? as usize),
                ("ip_version", "ipv4" | "ipv6") => {}
                _ => return Err(fault(format!("the option --{}={} is not supported", option.name, option.value))),
            }
        }
        if let Some((at, commands)) = &script.preparation {
            settings.prepare(*at, commands)?;
        }
        Ok(settings)
    }

    /// The commands before the first event: sysctls are set on the host, in the ways in which scripts do it.
    fn prepare(&mut self, at: Position, commands: &str) -> Result<(), Fault> {
        for line in commands.lines() {
            let mut words = line.split_whitespace();
            let command = words.next().unwrap_or_default();
            let known = ["sysctl", "set_sysctls.py", "defaults.sh", ""];
            if !known.iter().any(|known| command.rsplit('/').next() == Some(*known)) {
                return Err(Fault { at, message: format!("`{line}` is not supported: there is no shell here") });
            }
            for word in words.filter(|word| !word.starts_with('-')) {
                let setting = word.split_once('=').and_then(|(name, value)| Some((name, value.parse().ok()?)));
                let Some((name, value)) = setting else {
                    return Err(Fault { at, message: format!("`{word}` is no sysctl with a number") });
                };
                let name = name.strip_prefix("/proc/sys/").unwrap_or(name).replace('/', ".");
                self.sysctls.push((name, value));
            }
        }
        Ok(())
    }
}
