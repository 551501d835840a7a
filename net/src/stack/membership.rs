//! Which groups a host listens to, and what it tells routers about that: IGMPv3 (RFC 3376) and MLDv2 (RFC 3810).
//!
//! Simplifications: a change is told once, not twice with a pause, and a question is answered at once, not after a random
//! time; so a report that is lost is made good by the next question. The groups of the host's own addresses are not told
//! at all: nobody on a LAN of this kind looks for them. Sources are not filtered.

use crate::event::DropReason;
use crate::stack::counters::Mib;
use crate::stack::effects::Effects;
use crate::stack::fragment::seal_v4;
use crate::stack::ip::{HEADROOM, Hop, IpLayer};
use crate::wire::checksum::checksum;
use crate::wire::ethernet::MacAddr;
use crate::wire::icmpv6::Icmpv6Header;
use crate::wire::ip::HOP_LIMIT;
use crate::wire::ipv4::{Ipv4Header, protocol};
use crate::wire::ipv6::Ipv6Header;
use crate::wire::ipv6_ext::ext;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use wakeline_runtime::clock::Instant;

/// How many sockets have joined each group.
#[derive(Debug, Default)]
pub(crate) struct Memberships {
    groups: BTreeMap<IpAddr, u32>,
}

/// Why a report is made; the numbers are those of both protocols' records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Record {
    /// The state, when asked.
    IsExclude = 2,
    /// Nobody listens any more.
    ToInclude = 3,
    /// Somebody listens now, to whatever source.
    ToExclude = 4,
}

/// Where reports go.
const IGMP_REPORTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);
const MLD_REPORTS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
/// All hosts of the link: everybody is in this group, and nobody says so.
const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);

impl Memberships {
    /// Whether any socket has joined `group`.
    pub(crate) fn contains(&self, group: IpAddr) -> bool {
        self.groups.contains_key(&group)
    }
}

impl IpLayer {
    /// Whether the host is in a group of IPv4.
    pub(crate) fn listens_to_v4(&self, group: Ipv4Addr) -> bool {
        group == ALL_HOSTS || self.memberships.contains(group.into())
    }

    /// A socket joins a group. Every shard hears of it, and the first one tells the routers.
    pub(crate) fn join_group(&mut self, group: IpAddr, now: Instant, fx: &mut Effects) {
        let members = self.memberships.groups.entry(group).or_default();
        *members += 1;
        if *members == 1 && self.config.shard.index == 0 {
            self.report(group, Record::ToExclude, now, fx);
        }
    }

    /// A socket leaves a group that it has joined.
    pub(crate) fn leave_group(&mut self, group: IpAddr, now: Instant, fx: &mut Effects) {
        let Some(members) = self.memberships.groups.get_mut(&group) else { return };
        *members -= 1;
        if *members == 0 {
            self.memberships.groups.remove(&group);
            if self.config.shard.index == 0 {
                self.report(group, Record::ToInclude, now, fx);
            }
        }
    }

    /// A router asks who is in a group, or with an unspecified one, in which groups we are.
    pub(crate) fn on_membership_query(&mut self, group: IpAddr, now: Instant, fx: &mut Effects) {
        let asked = |own: &&IpAddr| own.is_ipv4() == group.is_ipv4() && (group.is_unspecified() || **own == group);
        let groups: Vec<IpAddr> = self.memberships.groups.keys().filter(asked).copied().collect();
        for group in groups.into_iter().take(REPORTS_MAX) {
            self.report(group, Record::IsExclude, now, fx);
        }
    }

    fn report(&mut self, group: IpAddr, record: Record, now: Instant, fx: &mut Effects) {
        match group {
            IpAddr::V4(group) if group != ALL_HOSTS => self.report_v4(group, record, now, fx),
            // RFC 3810 6: nothing is said of what does not leave the host, nor of all nodes.
            IpAddr::V6(group) if group.octets()[1] & 0x0f > 1 && group != crate::wire::ndp::ALL_NODES => {
                self.report_v6(group, record, now, fx);
            }
            _ => {}
        }
    }

    /// RFC 3376 4.2, with one record, and a router alert in the header (4).
    fn report_v4(&mut self, group: Ipv4Addr, record: Record, now: Instant, fx: &mut Effects) {
        let Some(IpAddr::V4(src)) = self.addresses.source_for(IGMP_REPORTS.into()) else { return };
        const HEADER: usize = Ipv4Header::LEN + 4;
        const REPORT: usize = 16;
        let Some(mut packet) = self.pool.alloc(HEADROOM, HEADER + REPORT) else {
            return self.drops.count(DropReason::Nomem);
        };
        let bytes = packet.put(HEADER + REPORT);
        bytes.fill(0);
        let plain = Ipv4Header::new(src, IGMP_REPORTS, protocol::IGMP, REPORT + 4);
        let header = Ipv4Header { ttl: 1, tos: 0xc0, ..plain };
        header.emit(bytes.first_chunk_mut().expect("as many bytes as were put"));
        bytes[0] = 0x46;
        bytes[Ipv4Header::LEN..HEADER].copy_from_slice(&[0x94, 4, 0, 0]);
        seal_v4(&mut bytes[..HEADER]);
        let report = &mut bytes[HEADER..];
        report[0] = 0x22;
        report[7] = 1;
        report[8] = record as u8;
        report[12..].copy_from_slice(&group.octets());
        let sum = checksum(report);
        report[2..4].copy_from_slice(&sum);
        self.counters.count(Mib::IpOutRequests);
        self.send_to_hop(Hop::Group(MacAddr::of_group_v4(IGMP_REPORTS)), packet, now, fx);
    }

    /// RFC 3810 5.2, with one record, and a router alert before it (5).
    fn report_v6(&mut self, group: Ipv6Addr, record: Record, now: Instant, fx: &mut Effects) {
        let Some(IpAddr::V6(src)) = self.addresses.source_for(MLD_REPORTS.into()) else { return };
        const HEADER: usize = Ipv6Header::LEN + 8;
        const REPORT: usize = 28;
        let Some(mut packet) = self.pool.alloc(HEADROOM, HEADER + REPORT) else {
            return self.drops.count(DropReason::Nomem);
        };
        let bytes = packet.put(HEADER + REPORT);
        bytes.fill(0);
        let header = Ipv6Header {
            traffic_class: 0,
            flow_label: 0,
            payload_len: (8 + REPORT) as u16,
            next_header: ext::HOP_BY_HOP,
            hop_limit: 1,
            src,
            dst: MLD_REPORTS,
        };
        header.emit(bytes.first_chunk_mut().expect("as many bytes as were put"));
        bytes[Ipv6Header::LEN..HEADER].copy_from_slice(&[protocol::ICMPV6, 0, 5, 2, 0, 0, 1, 0]);
        let report = &mut bytes[HEADER..];
        report[8] = record as u8;
        report[12..].copy_from_slice(&group.octets());
        Icmpv6Header::Other { kind: MLD_REPORT, code: 0, rest: 1 }.emit((src, MLD_REPORTS), report);
        self.counters.count(Mib::Ip6OutRequests);
        self.counters.count(Mib::Icmp6OutMsgs);
        self.send_to_hop(Hop::Group(MacAddr::of_group_v6(MLD_REPORTS)), packet, now, fx);
    }
}

/// The group that an IGMP message asks about, if it is a question (RFC 3376 4.1); unspecified for all.
pub(crate) fn igmp_query(message: &[u8]) -> Option<Ipv4Addr> {
    let head: &[u8; 8] = message.first_chunk()?;
    let sound = crate::wire::checksum::is_valid(message);
    (head[0] == 0x11 && sound).then(|| Ipv4Addr::new(head[4], head[5], head[6], head[7]))
}

/// The same for MLD (RFC 3810 5.1).
pub(crate) fn mld_query(message: &[u8]) -> Option<Ipv6Addr> {
    let head: &[u8; 24] = message.first_chunk()?;
    let group: [u8; 16] = head[8..].try_into().ok()?;
    (head[0] == 130).then(|| group.into())
}

/// The type of an MLDv2 report.
const MLD_REPORT: u8 = 143;
/// How many groups one answer names.
const REPORTS_MAX: usize = 64;

/// The time to live of datagrams for a group, unless a socket says otherwise (RFC 1112 6.1); others have
/// [`HOP_LIMIT`].
pub(crate) const GROUP_HOP_LIMIT: u8 = 1;
const _: () = assert!(GROUP_HOP_LIMIT < HOP_LIMIT);
