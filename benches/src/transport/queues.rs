//! What is left of a connection that has ended, and what there is of one that has not begun: entries in TIME-WAIT and in the
//! SYN queue.

use crate::emulated_echo::hosts;
use crate::memory::Memory;
use crate::run::Until;
use crate::transport::short;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpProtocol,
    Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use wakeline::net::TcpListener;
use wakeline::net::emulated::{Host, Lan, RawPort};
use wakeline::runtime::Builder;
use wakeline::task::yield_now;

/// Entries and what they weigh.
#[derive(Clone, Copy, Debug)]
pub struct Entries {
    /// How many there are.
    pub count: u64,
    /// Resident memory that they have added, the tables that lead to them included.
    pub bytes: u64,
}

impl Entries {
    /// Bytes of one.
    #[must_use]
    pub fn bytes_each(self) -> f64 {
        self.bytes as f64 / self.count as f64
    }
}

/// Makes `connections` connections that end at once, fewer than the table of TIME-WAIT holds.
///
/// # Errors
/// Those of the sockets.
pub fn time_wait(connections: u64) -> io::Result<Entries> {
    Builder::new_current_thread().enable_all().build()?.block_on(async move {
        let (server, client) = hosts()?;
        let bytes = short::listen(&server).await?;
        // Everything that is made once is there before.
        short::connect_until(&client, server.addr(), Until::Requests(1000), 1).await?;
        let before = Memory::now()?;
        let (_, count) = short::connect_until(&client, server.addr(), Until::Requests(connections), 1).await?;
        short::finish(&bytes, None).await?;
        Ok(Entries { count, bytes: Memory::now()?.total().saturating_sub(before.total()) })
    })
}

/// Sends `requests` SYNs that are answered and never acknowledged, from a port that no stack stands behind.
///
/// # Errors
/// Those of the sockets, and `InvalidData` when fewer connections are half open.
pub fn syn_queue(requests: u64) -> io::Result<Entries> {
    Builder::new_current_thread().enable_all().build()?.block_on(async move {
        let lan = Lan::with_seed(1);
        let server = lan.host("server").build()?;
        let listeners = listeners(&server, requests.div_ceil(SYNS_PER_LISTENER)).await?;
        let peer = Peer::new(lan.raw_port()?, &server).await?;
        peer.send_syns(0..WARM_UP).await?;
        let before = Memory::now()?;
        let answered = peer.send_syns(WARM_UP..requests).await?;
        let after = Memory::now()?;
        let count = requests - WARM_UP;
        if answered != count {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{answered} of {count} were answered")));
        }
        drop(listeners);
        Ok(Entries { count, bytes: after.total().saturating_sub(before.total()) })
    })
}

/// Fewer than the backlog of [`TcpListener::bind`].
const SYNS_PER_LISTENER: u64 = 1000;
const FIRST_PORT: u16 = 7000;
const WARM_UP: u64 = 1000;
/// SYNs that are sent before their answers are read: fewer than a raw port keeps.
const BATCH: u64 = 64;

async fn listeners(server: &Host, count: u64) -> io::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for port in (FIRST_PORT..).take(count as usize) {
        listeners.push(server.run(TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))).await?);
    }
    Ok(listeners)
}

/// Who sends SYNs.
struct Peer {
    port: RawPort,
    server: (EthernetAddress, Ipv4Addr),
}

impl Peer {
    /// Makes itself and the server known to each other.
    async fn new(port: RawPort, server: &Host) -> io::Result<Peer> {
        let IpAddr::V4(addr) = server.addr() else { return Err(io::ErrorKind::Unsupported.into()) };
        let mut peer = Peer { port, server: (EthernetAddress::BROADCAST, addr) };
        peer.port.send(&peer.arp_request())?;
        let answer = peer.port.recv().await;
        peer.server.0 = EthernetFrame::new_checked(&answer[..]).map_err(io::Error::other)?.src_addr();
        Ok(peer)
    }

    /// Sends the SYNs with these numbers, and says how many were answered.
    async fn send_syns(&self, numbers: std::ops::Range<u64>) -> io::Result<u64> {
        let mut answered = 0;
        for number in numbers {
            self.port.send(&self.syn(number))?;
            if number % BATCH == BATCH - 1 {
                answered += self.read_answers().await;
            }
        }
        Ok(answered + self.read_answers().await)
    }

    async fn read_answers(&self) -> u64 {
        for _ in 0..10 {
            yield_now().await;
        }
        std::iter::from_fn(|| self.port.try_recv()).count() as u64
    }

    fn arp_request(&self) -> Vec<u8> {
        let repr = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr: self.mac(),
            source_protocol_addr: self.port.addr(),
            target_hardware_addr: EthernetAddress::default(),
            target_protocol_addr: self.server.1,
        };
        self.frame(EthernetProtocol::Arp, repr.buffer_len(), |bytes| repr.emit(&mut ArpPacket::new_unchecked(bytes)))
    }

    fn syn(&self, number: u64) -> Vec<u8> {
        let tcp = TcpRepr {
            src_port: 1024 + (number % SYNS_PER_LISTENER) as u16,
            dst_port: FIRST_PORT + (number / SYNS_PER_LISTENER) as u16,
            control: TcpControl::Syn,
            seq_number: TcpSeqNumber(number as i32),
            ack_number: None,
            window_len: u16::MAX,
            window_scale: Some(7),
            max_seg_size: Some(1460),
            sack_permitted: true,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: &[],
        };
        let ip = Ipv4Repr {
            src_addr: self.port.addr(),
            dst_addr: self.server.1,
            next_header: IpProtocol::Tcp,
            payload_len: tcp.buffer_len(),
            hop_limit: 64,
        };
        let sums = ChecksumCapabilities::default();
        self.frame(EthernetProtocol::Ipv4, ip.buffer_len() + tcp.buffer_len(), |bytes| {
            ip.emit(&mut Ipv4Packet::new_unchecked(&mut *bytes), &sums);
            let segment = &mut TcpPacket::new_unchecked(&mut bytes[ip.buffer_len()..]);
            tcp.emit(segment, &ip.src_addr.into(), &ip.dst_addr.into(), &sums);
        })
    }

    fn frame(&self, ethertype: EthernetProtocol, len: usize, emit: impl FnOnce(&mut [u8])) -> Vec<u8> {
        let header = EthernetRepr { src_addr: self.mac(), dst_addr: self.server.0, ethertype };
        let mut bytes = vec![0; header.buffer_len() + len];
        header.emit(&mut EthernetFrame::new_unchecked(&mut bytes));
        emit(&mut bytes[header.buffer_len()..]);
        bytes
    }

    fn mac(&self) -> EthernetAddress {
        EthernetAddress(self.port.mac())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_queues_fill() {
        assert!(time_wait(500).unwrap().count >= 500);
        assert_eq!(syn_queue(3500).unwrap().count, 3500 - WARM_UP);
    }
}
