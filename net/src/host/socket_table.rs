//! The sockets of a host, printed as `ss` prints them.

use crate::host::machine::Machine;
use crate::stack::listing::{Cursor, SocketEntry, SocketProto, SocketTimer, Table};
use crate::tcp_info::{TcpInfo, TcpInfoOptions, TcpState};
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Deref;

/// What [`Host::sockets`](crate::emulated::Host::sockets) gives: a slice of entries that prints as `ss` does.
///
/// `{}` is `ss -tan`, with a column for the protocol when there is UDP as well (`ss -tuan`); `{:#}` adds timers and figures
/// (`ss -tino`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketTable(Vec<SocketEntry>);

/// How many places of a shard's tables are looked at under its lock.
const PAGE: u32 = 256;

impl SocketTable {
    /// Lists every shard, page by page.
    pub(crate) fn of(machine: &Machine) -> SocketTable {
        let mut table = SocketTable::default();
        // The members of one listener, or of one UDP socket, stand on every shard and are shown as one.
        let mut spread: HashMap<Name, Vec<usize>> = HashMap::new();
        for cpu in 0..machine.cpu_count() {
            let mut met: HashMap<Name, usize> = HashMap::new();
            let (mut cursor, mut page) = (Cursor::default(), Vec::new());
            while cursor.table != Table::Done {
                machine.with_stack_recent(cpu, |stack, now, _| stack.list(now, &mut cursor, PAGE, &mut page));
                for entry in page.drain(..) {
                    table.merge(entry, &mut spread, &mut met);
                }
            }
        }
        table
    }

    fn merge(&mut self, entry: SocketEntry, spread: &mut HashMap<Name, Vec<usize>>, met: &mut HashMap<Name, usize>) {
        let is_spread = entry.proto == SocketProto::Udp || entry.peer.is_none();
        if !is_spread {
            return self.0.push(entry);
        }
        let name = (entry.proto, entry.local, entry.peer);
        let nth = met.entry(name).or_default();
        let places = spread.entry(name).or_default();
        match places.get(*nth) {
            Some(&place) => {
                let first = &mut self.0[place];
                first.recv_q = first.recv_q.saturating_add(entry.recv_q);
                first.send_q = first.send_q.saturating_add(entry.send_q);
            }
            None => {
                places.push(self.0.len());
                self.0.push(entry);
            }
        }
        *nth += 1;
    }
}

type Name = (SocketProto, SocketAddr, Option<SocketAddr>);

impl Deref for SocketTable {
    type Target = [SocketEntry];

    fn deref(&self) -> &[SocketEntry] {
        &self.0
    }
}

impl IntoIterator for SocketTable {
    type Item = SocketEntry;
    type IntoIter = std::vec::IntoIter<SocketEntry>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Display for SocketTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with_proto = self.0.iter().any(|entry| entry.proto == SocketProto::Udp);
        let header =
            ["Netid", "State", "Recv-Q", "Send-Q", "Local Address:Port", "Peer Address:Port"].map(String::from);
        let rows: Vec<_> = std::iter::once(header).chain(self.0.iter().map(row)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths: [usize; 6] = std::array::from_fn(width);
        for (n, row) in rows.iter().enumerate() {
            let mut line = String::new();
            for column in usize::from(!with_proto)..6 {
                let (cell, width) = (&row[column], widths[column]);
                line += &match column {
                    4 | 5 => format!("{cell:>width$} "),
                    _ => format!("{cell:<width$} "),
                };
            }
            f.write_str(line.trim_end())?;
            if let Some(entry) = n.checked_sub(1).map(|at| &self.0[at]).filter(|_| f.alternate()) {
                entry.timer.iter().try_for_each(|timer| write_timer(f, timer))?;
                write_info(f, entry)?;
            }
            f.write_str("\n")?;
        }
        Ok(())
    }
}

fn row(entry: &SocketEntry) -> [String; 6] {
    let proto = match entry.proto {
        SocketProto::Tcp => "tcp",
        SocketProto::Udp => "udp",
    };
    let local = address(entry.local);
    let peer = entry.peer.map_or_else(|| nobody(entry.local), address);
    [proto.to_owned(), entry.state.to_string(), entry.recv_q.to_string(), entry.send_q.to_string(), local, peer]
}

/// As `ss -n` writes an address; a port of zero is any.
fn address(addr: SocketAddr) -> String {
    let ip = match addr {
        SocketAddr::V4(addr) => addr.ip().to_string(),
        SocketAddr::V6(addr) => format!("[{}]", addr.ip()),
    };
    if addr.port() == 0 { format!("{ip}:*") } else { format!("{ip}:{}", addr.port()) }
}

fn nobody(local: SocketAddr) -> String {
    if local.is_ipv4() { "0.0.0.0:*" } else { "[::]:*" }.to_owned()
}

fn write_timer(f: &mut fmt::Formatter<'_>, timer: &SocketTimer) -> fmt::Result {
    let ms = timer.expires_in.as_millis();
    let time = match ms {
        0..1000 => format!("{ms}ms"),
        1000..10_000 => format!("{}.{:03}sec", ms / 1000, ms % 1000).replace("000sec", "sec").replace(".sec", "sec"),
        10_000..60_000 => format!("{}sec", ms / 1000),
        _ => format!("{}min{}sec", ms / 60_000, ms / 1000 % 60),
    };
    write!(f, " timer:({},{time},{})", timer.kind.name(), timer.retries)
}

/// The second line of `ss -i`, in its order; what is zero there is left out as it is there.
fn write_info(f: &mut fmt::Formatter<'_>, entry: &SocketEntry) -> fmt::Result {
    let Some(info) = entry.info.as_deref().filter(|_| entry.state != TcpState::Closed) else { return Ok(()) };
    f.write_str("\n\t")?;
    for (flag, name) in
        [(TcpInfoOptions::TIMESTAMPS, "ts "), (TcpInfoOptions::SACK, "sack "), (TcpInfoOptions::ECN, "ecn ")]
    {
        f.write_str(if info.options.contains(flag) { name } else { "" })?;
    }
    if let Some(congestion) = entry.congestion {
        write!(f, "{congestion}")?;
    }
    if info.options.contains(TcpInfoOptions::WSCALE) {
        write!(f, " wscale:{},{}", info.snd_wscale, info.rcv_wscale)?;
    }
    let ms = |time: std::time::Duration| time.as_micros() as f64 / 1000.0;
    write!(f, " rto:{}", ms(info.rto))?;
    write!(f, " rtt:{}/{}", ms(info.rtt), ms(info.rttvar))?;
    write!(f, " mss:{} pmtu:{} rcvmss:{} advmss:{}", info.snd_mss, info.pmtu, info.rcv_mss, info.advmss)?;
    write!(f, " cwnd:{}", info.snd_cwnd)?;
    if info.snd_ssthresh < i32::MAX as u32 {
        write!(f, " ssthresh:{}", info.snd_ssthresh)?;
    }
    for (name, value) in counts(info) {
        if value > 0 {
            write!(f, " {name}:{value}")?;
        }
    }
    Ok(())
}

fn counts(info: &TcpInfo) -> [(&'static str, u64); 14] {
    [
        ("bytes_sent", info.bytes_sent),
        ("bytes_retrans", info.bytes_retrans),
        ("bytes_acked", info.bytes_acked),
        ("bytes_received", info.bytes_received),
        ("segs_out", info.segs_out.into()),
        ("segs_in", info.segs_in.into()),
        ("data_segs_out", info.data_segs_out.into()),
        ("data_segs_in", info.data_segs_in.into()),
        ("delivered", info.delivered.into()),
        ("unacked", info.unacked.into()),
        ("lost", info.lost.into()),
        ("sacked", info.sacked.into()),
        ("notsent", info.notsent_bytes.into()),
        ("snd_wnd", info.snd_wnd.into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::listing::SocketTimerKind;
    use crate::stack::tcp::congestion::choice::CongestionChoice;
    use std::time::Duration;

    fn entry(state: TcpState, local: &str, peer: Option<&str>) -> SocketEntry {
        let parse = |text: &str| text.parse().unwrap();
        SocketEntry::new(SocketProto::Tcp, state, parse(local), peer.map(parse))
    }

    #[test]
    fn it_prints_as_ss_does() {
        let mut established = entry(TcpState::Established, "10.0.0.1:7", Some("10.0.0.2:40000"));
        established.send_q = 64;
        let kind = SocketTimerKind::Retransmit;
        established.timer = Some(SocketTimer { kind, expires_in: Duration::from_millis(1250), retries: 1 });
        established.congestion = Some(CongestionChoice::default());
        established.info = Some(Box::new(TcpInfo {
            options: TcpInfoOptions::TIMESTAMPS | TcpInfoOptions::SACK | TcpInfoOptions::WSCALE,
            rto: Duration::from_millis(204),
            rtt: Duration::from_micros(125),
            rttvar: Duration::from_micros(60),
            snd_ssthresh: i32::MAX as u32,
            snd_cwnd: 10,
            bytes_sent: 64,
            ..TcpInfo::default()
        }));
        let mut listener = entry(TcpState::Listen, "0.0.0.0:7", None);
        (listener.recv_q, listener.send_q) = (1, 128);
        let mut table = SocketTable(vec![listener, established]);
        let short = "\
State  Recv-Q Send-Q Local Address:Port Peer Address:Port
LISTEN 1      128             0.0.0.0:7         0.0.0.0:*
ESTAB  0      64             10.0.0.1:7    10.0.0.2:40000
";
        assert_eq!(table.to_string(), short);
        let congestion = CongestionChoice::default();
        let long = format!(
            "timer:(on,1.250sec,1)\n\tts sack {congestion} wscale:0,0 rto:204 rtt:0.125/0.06 mss:0 pmtu:0 rcvmss:0 advmss:0 \
             cwnd:10 bytes_sent:64\n"
        );
        assert!(format!("{table:#}").ends_with(&long), "{table:#}");
        table.0.push(SocketEntry { proto: SocketProto::Udp, ..entry(TcpState::Closed, "[::]:53", None) });
        let last = table.to_string().lines().last().map(str::to_owned);
        assert_eq!(last.as_deref(), Some("udp   UNCONN 0      0                 [::]:53            [::]:*"));
    }
}
