//! What only Linux has: through `socket2`, and through `nix` where that has no name for it.
//!
//! `TCP_INFO` is read as the bytes that it is, as many as the running kernel is known to give, and taken apart here.

use crate::sockopt::{Name, Opt, Value};
use crate::tcp_info::{TcpCaState, TcpInfo, TcpInfoOptions, TcpState};
use nix::sys::socket::sockopt::{IpRecvTos, Ipv4RecvErr, Ipv6RecvErr, UdpGroSegment, UdpGsoSegment};
use nix::sys::socket::{getsockopt, setsockopt};
use nix::sys::utsname::uname;
use nix::{getsockopt_impl, setsockopt_impl, sockopt_impl};
use socket2::{Domain, Socket, TcpKeepalive};
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

sockopt_impl!(
    /// `SO_RCVLOWAT`
    RcvLowat, Both, libc::SOL_SOCKET, libc::SO_RCVLOWAT, u32
);
sockopt_impl!(
    /// `TCP_DEFER_ACCEPT`, in seconds.
    DeferAccept, Both, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, u32
);
sockopt_impl!(
    /// `TCP_INFO`, as every kernel since 2.6 gives it: up to `tcpi_total_retrans`.
    ShortInfo, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, [u8; SHORT]
);
sockopt_impl!(
    /// `TCP_INFO`, as kernels since 5.4 give it: up to `tcpi_snd_wnd`.
    LongInfo, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, [u8; LONG]
);
sockopt_impl!(
    /// `TCP_INFO`, as kernels since 6.2 give it: with `tcpi_rcv_wnd` and `tcpi_rehash`.
    LongestInfo, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, [u8; LONGEST]
);
sockopt_impl!(
    /// `SO_BUSY_POLL`, in microseconds.
    BusyPoll, Both, libc::SOL_SOCKET, libc::SO_BUSY_POLL, u32
);
sockopt_impl!(
    /// `SO_INCOMING_CPU`
    IncomingCpu, Both, libc::SOL_SOCKET, libc::SO_INCOMING_CPU, i32
);
sockopt_impl!(
    /// `SO_PREFER_BUSY_POLL`
    PreferBusyPoll, Both, libc::SOL_SOCKET, SO_PREFER_BUSY_POLL, bool
);
sockopt_impl!(
    /// `SO_BUSY_POLL_BUDGET`
    BusyPollBudget, SetOnly, libc::SOL_SOCKET, SO_BUSY_POLL_BUDGET, u32
);

/// Not in `libc` for every C library; the numbers of `asm-generic/socket.h`.
const SO_PREFER_BUSY_POLL: libc::c_int = 69;
const SO_BUSY_POLL_BUDGET: libc::c_int = 70;

sockopt_impl!(
    /// `IP_MTU_DISCOVER`
    MtuDiscoverV4, Both, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, u32
);
sockopt_impl!(
    /// `IPV6_MTU_DISCOVER`
    MtuDiscoverV6, Both, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, u32
);
sockopt_impl!(
    /// `IP_MTU`
    MtuV4, GetOnly, libc::IPPROTO_IP, libc::IP_MTU, u32
);
sockopt_impl!(
    /// `IPV6_MTU`
    MtuV6, GetOnly, libc::IPPROTO_IPV6, libc::IPV6_MTU, u32
);

const SHORT: usize = 104;
const LONG: usize = 232;
const LONGEST: usize = 240;

pub(super) fn get(socket: &Socket, opt: Opt) -> io::Result<Value> {
    Ok(match opt {
        Opt::ReusePort => Value::Flag(socket.reuse_port()?),
        Opt::TrafficClass => Value::Number(socket.tclass_v6()?),
        Opt::MtuDiscover if is_v6(socket)? => Value::Number(getsockopt(socket, MtuDiscoverV6)?),
        Opt::MtuDiscover => Value::Number(getsockopt(socket, MtuDiscoverV4)?),
        Opt::Mtu if is_v6(socket)? => Value::Number(getsockopt(socket, MtuV6)?),
        Opt::Mtu => Value::Number(getsockopt(socket, MtuV4)?),
        Opt::RecvErr if is_v6(socket)? => Value::Flag(getsockopt(socket, Ipv6RecvErr)?),
        Opt::RecvErr => Value::Flag(getsockopt(socket, Ipv4RecvErr)?),
        Opt::RecvTos => Value::Flag(getsockopt(socket, IpRecvTos)?),
        Opt::RecvTrafficClass => Value::Flag(socket.recv_tclass_v6()?),
        Opt::UdpSegment => {
            Value::Number(u32::try_from(getsockopt(socket, UdpGsoSegment)?).map_err(|_| io::ErrorKind::InvalidData)?)
        }
        Opt::UdpGro => Value::Flag(getsockopt(socket, UdpGroSegment)?),
        Opt::RcvLowat => Value::Number(getsockopt(socket, RcvLowat)?),
        Opt::BusyPoll => {
            let micros = getsockopt(socket, BusyPoll)?;
            Value::Time((micros > 0).then(|| Duration::from_micros(micros.into())))
        }
        Opt::BoundDevice => {
            let name = socket.device()?.unwrap_or_default();
            let name = std::str::from_utf8(&name).ok().and_then(Name::new);
            Value::Name(name.ok_or(io::ErrorKind::InvalidData)?)
        }
        Opt::IncomingCpu => Value::Number(getsockopt(socket, IncomingCpu)?.cast_unsigned()),
        Opt::PreferBusyPoll => Value::Flag(getsockopt(socket, PreferBusyPoll)?),
        Opt::KeepIdle => Value::Time(Some(socket.tcp_keepalive_time()?)),
        Opt::KeepInterval => Value::Time(Some(socket.tcp_keepalive_interval()?)),
        Opt::KeepCount => Value::Number(socket.tcp_keepalive_retries()?),
        Opt::UserTimeout => Value::Time(socket.tcp_user_timeout()?),
        Opt::QuickAck => Value::Flag(socket.tcp_quickack()?),
        Opt::Congestion => {
            let name = socket.tcp_congestion()?;
            let text = std::str::from_utf8(&name).unwrap_or_default().trim_end_matches('\0');
            Value::Name(Name::new(text).ok_or(io::ErrorKind::InvalidData)?)
        }
        Opt::MaxSeg => Value::Number(socket.tcp_mss()?),
        Opt::NotSentLowat => Value::Number(socket.tcp_notsent_lowat()?),
        Opt::DeferAccept => {
            let seconds = getsockopt(socket, DeferAccept)?;
            Value::Time((seconds > 0).then(|| Duration::from_secs(seconds.into())))
        }
        _ => return Err(io::ErrorKind::Unsupported.into()),
    })
}

pub(super) fn set(socket: &Socket, opt: Opt, value: Value) -> io::Result<()> {
    match (opt, value) {
        (Opt::ReusePort, Value::Flag(flag)) => socket.set_reuse_port(flag),
        (Opt::TrafficClass, Value::Number(n)) => socket.set_tclass_v6(n),
        // A socket of IPv6 sends over IPv4, too.
        (Opt::MtuDiscover, Value::Number(n)) => {
            setsockopt(socket, MtuDiscoverV4, &n)?;
            if is_v6(socket)? {
                setsockopt(socket, MtuDiscoverV6, &n)?;
            }
            Ok(())
        }
        (Opt::RecvErr, Value::Flag(flag)) => {
            setsockopt(socket, Ipv4RecvErr, &flag)?;
            if is_v6(socket)? {
                setsockopt(socket, Ipv6RecvErr, &flag)?;
            }
            Ok(())
        }
        (Opt::RecvTos, Value::Flag(flag)) => Ok(setsockopt(socket, IpRecvTos, &flag)?),
        (Opt::RecvTrafficClass, Value::Flag(flag)) => socket.set_recv_tclass_v6(flag),
        (Opt::UdpSegment, Value::Number(n)) => Ok(setsockopt(socket, UdpGsoSegment, &n.cast_signed())?),
        (Opt::UdpGro, Value::Flag(flag)) => Ok(setsockopt(socket, UdpGroSegment, &flag)?),
        (Opt::RcvLowat, Value::Number(n)) => Ok(setsockopt(socket, RcvLowat, &n)?),
        (Opt::BusyPoll, Value::Time(time)) => {
            let micros = u32::try_from(time.unwrap_or_default().as_micros()).unwrap_or(u32::MAX);
            Ok(setsockopt(socket, BusyPoll, &micros)?)
        }
        (Opt::BoundDevice, Value::Name(name)) => {
            let name = name.as_str().as_bytes();
            socket.bind_device((!name.is_empty()).then_some(name))
        }
        (Opt::IncomingCpu, Value::Number(n)) => Ok(setsockopt(socket, IncomingCpu, &n.cast_signed())?),
        (Opt::PreferBusyPoll, Value::Flag(flag)) => Ok(setsockopt(socket, PreferBusyPoll, &flag)?),
        (Opt::BusyPollBudget, Value::Number(n)) => Ok(setsockopt(socket, BusyPollBudget, &n)?),
        (Opt::KeepInterval, Value::Time(Some(time))) => {
            socket.set_tcp_keepalive(&TcpKeepalive::new().with_interval(time))
        }
        (Opt::KeepCount, Value::Number(n)) => socket.set_tcp_keepalive(&TcpKeepalive::new().with_retries(n)),
        (Opt::UserTimeout, Value::Time(time)) => socket.set_tcp_user_timeout(time),
        (Opt::QuickAck, Value::Flag(flag)) => socket.set_tcp_quickack(flag),
        (Opt::Congestion, Value::Name(name)) => socket.set_tcp_congestion(name.as_str().as_bytes()),
        (Opt::MaxSeg, Value::Number(n)) => socket.set_tcp_mss(n),
        (Opt::NotSentLowat, Value::Number(n)) => socket.set_tcp_notsent_lowat(n),
        (Opt::DeferAccept, Value::Time(time)) => {
            let seconds = time.map_or(0, |time| u32::try_from(time.as_secs()).unwrap_or(u32::MAX));
            Ok(setsockopt(socket, DeferAccept, &seconds)?)
        }
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn is_v6(socket: &Socket) -> io::Result<bool> {
    Ok(socket.domain()? == Domain::IPV6)
}

/// `TCP_INFO`
///
/// # Errors
/// The system's.
pub(crate) fn tcp_info(socket: &Socket) -> io::Result<TcpInfo> {
    // A kernel that gives less than it was asked for would meet an assertion in `nix`; so it is asked for what it has.
    match kernel() {
        version if version >= (6, 2) => Ok(parse(&getsockopt(socket, LongestInfo)?)),
        version if version >= (5, 4) => Ok(parse(&getsockopt(socket, LongInfo)?)),
        _ => Ok(parse(&getsockopt(socket, ShortInfo)?)),
    }
}

/// The version of the running kernel; (0, 0) when it does not say.
fn kernel() -> (u32, u32) {
    static VERSION: OnceLock<(u32, u32)> = OnceLock::new();
    *VERSION.get_or_init(|| {
        let release = uname().ok().and_then(|name| Some(name.release().to_str()?.to_owned())).unwrap_or_default();
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    })
}

/// Takes `struct tcp_info` apart; what lies beyond its end is zero.
fn parse(bytes: &[u8]) -> TcpInfo {
    let u8_at = |at: usize| bytes.get(at).copied().unwrap_or(0);
    let u32_at = |at: usize| bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes);
    let u64_at = |at: usize| bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_ne_bytes);
    let us_at = |at: usize| Duration::from_micros(u32_at(at).into());
    let ms_at = |at: usize| Duration::from_millis(u32_at(at).into());
    // Two fields of four bits each, which stand in the order in which the machine counts.
    let (low, high) = (u8_at(6) & 15, u8_at(6) >> 4);
    let (snd_wscale, rcv_wscale) = if cfg!(target_endian = "little") { (low, high) } else { (high, low) };
    TcpInfo {
        state: TcpState::from_number(u8_at(0)),
        ca_state: TcpCaState::from_number(u8_at(1)),
        retransmits: u8_at(2),
        probes: u8_at(3),
        backoff: u8_at(4),
        options: TcpInfoOptions::from_bits_truncate(u8_at(5)),
        snd_wscale,
        rcv_wscale,
        rto: us_at(8),
        ato: us_at(12),
        snd_mss: u32_at(16),
        rcv_mss: u32_at(20),
        unacked: u32_at(24),
        sacked: u32_at(28),
        lost: u32_at(32),
        retrans: u32_at(36),
        last_data_sent: ms_at(44),
        last_data_recv: ms_at(52),
        last_ack_recv: ms_at(56),
        pmtu: u32_at(60),
        rcv_ssthresh: u32_at(64),
        rtt: us_at(68),
        rttvar: us_at(72),
        snd_ssthresh: u32_at(76),
        snd_cwnd: u32_at(80),
        advmss: u32_at(84),
        reordering: u32_at(88),
        rcv_rtt: us_at(92),
        rcv_space: u32_at(96),
        total_retrans: u32_at(100),
        pacing_rate: u64_at(104),
        max_pacing_rate: u64_at(112),
        bytes_acked: u64_at(120),
        bytes_received: u64_at(128),
        segs_out: u32_at(136),
        segs_in: u32_at(140),
        notsent_bytes: u32_at(144),
        min_rtt: us_at(148),
        data_segs_in: u32_at(152),
        data_segs_out: u32_at(156),
        delivery_rate: u64_at(160),
        busy_time: Duration::from_micros(u64_at(168)),
        rwnd_limited: Duration::from_micros(u64_at(176)),
        sndbuf_limited: Duration::from_micros(u64_at(184)),
        delivered: u32_at(192),
        delivered_ce: u32_at(196),
        bytes_sent: u64_at(200),
        bytes_retrans: u64_at(208),
        dsack_dups: u32_at(216),
        reord_seen: u32_at(220),
        rcv_ooopack: u32_at(224),
        snd_wnd: u32_at(228),
        rcv_wnd: u32_at(232),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    /// The places of the fields are those of the kernel's header, as `libc` has it.
    #[test]
    fn fields_stand_where_the_kernel_puts_them() {
        let places = [
            (offset_of!(libc::tcp_info, tcpi_rto), 8),
            (offset_of!(libc::tcp_info, tcpi_last_data_sent), 44),
            (offset_of!(libc::tcp_info, tcpi_rtt), 68),
            (offset_of!(libc::tcp_info, tcpi_total_retrans) + 4, SHORT),
            (offset_of!(libc::tcp_info, tcpi_notsent_bytes), 144),
            (offset_of!(libc::tcp_info, tcpi_delivered), 192),
            (offset_of!(libc::tcp_info, tcpi_snd_wnd) + 4, LONG),
            (offset_of!(libc::tcp_info, tcpi_rcv_wnd), 232),
            (offset_of!(libc::tcp_info, tcpi_rehash) + 4, LONGEST),
        ];
        assert!(places.iter().all(|(theirs, ours)| theirs == ours), "{places:?}");
        assert!(kernel() > (2, 6), "{:?}", kernel());
    }

    #[test]
    fn a_short_answer_leaves_zeroes() {
        let mut bytes = [0; SHORT];
        bytes[0] = 8;
        bytes[6] = 0x7a;
        bytes[68..72].copy_from_slice(&1500_u32.to_ne_bytes());
        let info = parse(&bytes);
        assert_eq!((info.state, info.rtt, info.rcv_wnd), (TcpState::CloseWait, Duration::from_micros(1500), 0));
        assert_eq!((info.snd_wscale, info.rcv_wscale), (10, 7));
    }
}
