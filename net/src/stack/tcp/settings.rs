//! What programs set on a TCP socket: kept here for connections to come, and given to their control blocks.
//!
//! A listener's settings are those of the connections that it will accept, as in Linux. The checks and the errors are
//! those of `tcp_setsockopt` and `sock_setsockopt`.

use crate::sockopt::{Name, Opt, Value};
use crate::stack::busy_poll::BusyPoll;
use crate::stack::error::SocketError;
use crate::stack::hears::Hears;
use crate::stack::ip_settings::IpSettings;
use crate::stack::tcp::congestion::choice::CongestionChoice;
use crate::stack::tcp::defer::{retransmissions_in, time_of_retransmissions};
use std::time::Duration;

/// See the [module](self). Times are whole seconds where Linux's are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// In bytes of `truesize`: twice what the program asked for.
    pub(crate) rcvbuf: u32,
    pub(crate) sndbuf: u32,
    pub(crate) rcvlowat: u32,
    pub(crate) notsent_lowat: u32,
    pub(crate) user_timeout_ms: u32,
    /// [`NO_LINGER`] is off.
    linger_s: u32,
    pub(crate) keep_idle_s: u16,
    pub(crate) keep_interval_s: u16,
    /// How long a SYN-ACK may be answered without data before the connection is accepted all the same; 0 is off.
    pub(crate) defer_accept_s: u16,
    pub(crate) keep_count: u8,
    pub(crate) ip: IpSettings,
    pub(crate) busy_poll: BusyPoll,
    pub(crate) hears: Hears,
    pub(crate) congestion: CongestionChoice,
    pub(crate) flags: SettingFlags,
}

bitflags::bitflags! {
    /// The settings that are on or off.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct SettingFlags: u8 {
        const REUSE_ADDR = 1 << 0;
        const REUSE_PORT = 1 << 1;
        const KEEP_ALIVE = 1 << 2;
        const NO_DELAY = 1 << 3;
        const QUICK_ACK = 1 << 4;
        /// SO_RCVBUF was set, so that the buffer no longer grows by itself (`SOCK_RCVBUF_LOCK`).
        const RCVBUF_LOCK = 1 << 5;
        /// Likewise SO_SNDBUF.
        const SNDBUF_LOCK = 1 << 6;
        /// A socket of IPv6 that leaves IPv4 alone. To be set before the socket has an address.
        const ONLY_V6 = 1 << 7;
    }
}

/// The one number of seconds that SO_LINGER does not have.
const NO_LINGER: u32 = u32::MAX;
/// `TCP_KEEPALIVE_TIME`
const KEEP_IDLE_S: u16 = 7200;
/// `TCP_KEEPALIVE_INTVL`
const KEEP_INTERVAL_S: u16 = 75;
/// `TCP_KEEPALIVE_PROBES`
const KEEP_COUNT: u8 = 9;
/// `MAX_TCP_KEEPIDLE`, `MAX_TCP_KEEPINTVL`
const KEEP_MAX_S: u64 = 32_767;
/// `MAX_TCP_KEEPCNT`
const KEEP_COUNT_MAX: u32 = 127;
/// `SOCK_MIN_RCVBUF`
pub(crate) const RCVBUF_MIN: u32 = 2304;
/// `SOCK_MIN_SNDBUF`
pub(crate) const SNDBUF_MIN: u32 = 4608;
/// Twice `net.core.rmem_max` and `wmem_max`.
pub(crate) const BUF_MAX: u32 = 8 << 20;

impl Settings {
    /// Linux's defaults, with buffers of these sizes.
    pub(crate) const fn new(rcvbuf: u32, sndbuf: u32, congestion: CongestionChoice) -> Settings {
        Settings {
            rcvbuf,
            sndbuf,
            rcvlowat: 1,
            notsent_lowat: u32::MAX,
            user_timeout_ms: 0,
            linger_s: NO_LINGER,
            keep_idle_s: KEEP_IDLE_S,
            keep_interval_s: KEEP_INTERVAL_S,
            defer_accept_s: 0,
            keep_count: KEEP_COUNT,
            ip: IpSettings::new(),
            busy_poll: BusyPoll::new(0),
            hears: Hears::new(),
            congestion,
            flags: SettingFlags::QUICK_ACK,
        }
    }

    /// `setsockopt(2)`
    ///
    /// # Errors
    /// `InvalidInput` for a value out of range, `NotFound` for an algorithm that is not there, `OptionUnknown`.
    pub(crate) fn set(&mut self, opt: Opt, value: Value) -> Result<(), SocketError> {
        match (opt, value) {
            (Opt::ReuseAddr, Value::Flag(on)) => self.flags.set(SettingFlags::REUSE_ADDR, on),
            (Opt::ReusePort, Value::Flag(on)) => self.flags.set(SettingFlags::REUSE_PORT, on),
            (Opt::KeepAlive, Value::Flag(on)) => self.flags.set(SettingFlags::KEEP_ALIVE, on),
            (Opt::NoDelay, Value::Flag(on)) => self.flags.set(SettingFlags::NO_DELAY, on),
            (Opt::QuickAck, Value::Flag(on)) => self.flags.set(SettingFlags::QUICK_ACK, on),
            (Opt::RcvBuf, Value::Number(n)) => {
                self.rcvbuf = n.min(BUF_MAX / 2).saturating_mul(2).max(RCVBUF_MIN);
                self.flags |= SettingFlags::RCVBUF_LOCK;
            }
            (Opt::SndBuf, Value::Number(n)) => {
                self.sndbuf = n.min(BUF_MAX / 2).saturating_mul(2).max(SNDBUF_MIN);
                self.flags |= SettingFlags::SNDBUF_LOCK;
            }
            // `tcp_set_rcvlowat`: no more than half of what the buffer may become.
            (Opt::RcvLowat, Value::Number(n)) => self.rcvlowat = n.clamp(1, self.rcvlowat_max()),
            (Opt::NotSentLowat, Value::Number(n)) => self.notsent_lowat = if n == 0 { u32::MAX } else { n },
            (Opt::Linger, Value::Time(time)) => {
                self.linger_s = time.map_or(NO_LINGER, |time| time.as_secs().min(i32::MAX as u64) as u32);
            }
            (Opt::KeepIdle, Value::Time(Some(time))) => self.keep_idle_s = keep_seconds(time)?,
            (Opt::KeepInterval, Value::Time(Some(time))) => self.keep_interval_s = keep_seconds(time)?,
            (Opt::KeepCount, Value::Number(n)) => {
                self.keep_count = within(n, 1, KEEP_COUNT_MAX)? as u8;
            }
            (Opt::UserTimeout, Value::Time(time)) => {
                let ms = time.map_or(0, |time| time.as_millis());
                self.user_timeout_ms = u32::try_from(ms).ok().filter(|&ms| ms <= i32::MAX as u32).ok_or(EINVAL)?;
            }
            (Opt::DeferAccept, Value::Time(time)) => {
                let seconds = time.map_or(0, |time| time.as_secs());
                let retransmissions = retransmissions_in(u16::try_from(seconds).unwrap_or(u16::MAX));
                self.defer_accept_s = time_of_retransmissions(retransmissions);
            }
            (Opt::Congestion, Value::Name(name)) => {
                self.congestion = CongestionChoice::by_name(name.as_str()).ok_or(SocketError::NotFound)?;
            }
            (Opt::BusyPoll | Opt::PreferBusyPoll | Opt::BusyPollBudget, value) => self.busy_poll.set(opt, value)?,
            (Opt::BoundDevice | Opt::IncomingCpu, value) => self.hears.set(opt, value)?,
            _ => self.ip.set(opt, value, true)?,
        }
        Ok(())
    }

    /// `getsockopt(2)`
    ///
    /// # Errors
    /// `OptionUnknown`.
    pub(crate) fn get(&self, opt: Opt) -> Result<Value, SocketError> {
        let flag = |flag| Value::Flag(self.flags.contains(flag));
        let seconds = |s: u16| Value::Time(Some(Duration::from_secs(s.into())));
        let unless_zero = |time: Duration| Value::Time((!time.is_zero()).then_some(time));
        Ok(match opt {
            Opt::ReuseAddr => flag(SettingFlags::REUSE_ADDR),
            Opt::ReusePort => flag(SettingFlags::REUSE_PORT),
            Opt::KeepAlive => flag(SettingFlags::KEEP_ALIVE),
            Opt::NoDelay => flag(SettingFlags::NO_DELAY),
            Opt::QuickAck => flag(SettingFlags::QUICK_ACK),
            Opt::RcvBuf => Value::Number(self.rcvbuf),
            Opt::SndBuf => Value::Number(self.sndbuf),
            Opt::RcvLowat => Value::Number(self.rcvlowat),
            Opt::NotSentLowat => Value::Number(if self.notsent_lowat == u32::MAX { 0 } else { self.notsent_lowat }),
            Opt::Linger => Value::Time(self.linger().map(|s| Duration::from_secs(s.into()))),
            Opt::KeepIdle => seconds(self.keep_idle_s),
            Opt::KeepInterval => seconds(self.keep_interval_s),
            Opt::KeepCount => Value::Number(self.keep_count.into()),
            Opt::UserTimeout => unless_zero(Duration::from_millis(self.user_timeout_ms.into())),
            Opt::DeferAccept => unless_zero(Duration::from_secs(self.defer_accept_s.into())),
            Opt::Congestion => Value::Name(Name::new(self.congestion.name()).ok_or(SocketError::OptionUnknown)?),
            // `TCP_MSS_DEFAULT`: what a socket without a peer says.
            Opt::MaxSeg => Value::Number(536),
            Opt::BusyPoll | Opt::PreferBusyPoll | Opt::BusyPollBudget => self.busy_poll.get(opt)?,
            Opt::BoundDevice | Opt::IncomingCpu => self.hears.get(opt)?,
            _ => self.ip.get(opt)?,
        })
    }

    /// SO_LINGER in seconds, if it is on.
    pub(crate) fn linger(&self) -> Option<u32> {
        (self.linger_s != NO_LINGER).then_some(self.linger_s)
    }

    fn rcvlowat_max(&self) -> u32 {
        if self.flags.contains(SettingFlags::RCVBUF_LOCK) { self.rcvbuf / 2 } else { BUF_MAX / 2 }.max(1)
    }
}

const EINVAL: SocketError = SocketError::InvalidInput;

fn within(n: u32, least: u32, most: u32) -> Result<u32, SocketError> {
    if (least..=most).contains(&n) { Ok(n) } else { Err(EINVAL) }
}

fn keep_seconds(time: Duration) -> Result<u16, SocketError> {
    // A fraction of a second is cut off, as the program's C counterpart would have to.
    let seconds = time.as_secs();
    if (1..=KEEP_MAX_S).contains(&seconds) { Ok(seconds as u16) } else { Err(EINVAL) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_refused_and_change_nothing() {
        let secs = |s| Value::Time(Some(Duration::from_secs(s)));
        let refused = [
            (Opt::KeepIdle, secs(0), EINVAL),
            (Opt::KeepIdle, secs(32_768), EINVAL),
            (Opt::KeepInterval, secs(0), EINVAL),
            (Opt::KeepCount, Value::Number(0), EINVAL),
            (Opt::KeepCount, Value::Number(128), EINVAL),
            (Opt::Ttl, Value::Number(0), EINVAL),
            (Opt::Ttl, Value::Number(256), EINVAL),
            (Opt::UserTimeout, secs(u64::from(u32::MAX)), EINVAL),
            (Opt::Congestion, Value::Name(Name::new("none-such").unwrap()), SocketError::NotFound),
            (Opt::OnlyV6, Value::Flag(true), SocketError::OptionUnknown),
            (Opt::NoDelay, Value::Number(1), SocketError::OptionUnknown),
        ];
        let mut settings = Settings::new(1000, 1000, CongestionChoice::Reno);
        for (opt, value, error) in refused {
            assert_eq!(settings.set(opt, value), Err(error), "{opt:?} {value:?}");
        }
        assert_eq!(settings, Settings::new(1000, 1000, CongestionChoice::Reno));
    }

    #[test]
    fn buffers_are_twice_what_was_asked_for_within_bounds() {
        let mut settings = Settings::new(1000, 1000, CongestionChoice::Reno);
        let check = |settings: &mut Settings, opt, asked, got| {
            settings.set(opt, Value::Number(asked)).unwrap();
            assert_eq!(settings.get(opt), Ok(Value::Number(got)), "{opt:?} {asked}");
        };
        check(&mut settings, Opt::RcvBuf, 1, 2304);
        check(&mut settings, Opt::SndBuf, 1, 4608);
        check(&mut settings, Opt::RcvBuf, 100_000, 200_000);
        check(&mut settings, Opt::SndBuf, u32::MAX, 8 << 20);
        check(&mut settings, Opt::RcvLowat, 0, 1);
        check(&mut settings, Opt::RcvLowat, u32::MAX, 100_000);
    }

    #[test]
    fn they_cost_little() {
        assert!(size_of::<Settings>() <= 48, "{}", size_of::<Settings>());
    }
}
