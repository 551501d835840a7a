//! Describing a host and plugging it in.

use crate::engine::Spawner;
use crate::gro::Gro;
use crate::growing::Growing;
use crate::host::cpu::CpuEngine;
use crate::host::driver::Driver;
use crate::host::handle::Host;
use crate::host::irq_desc::{Flow, IrqDesc, msix_chip};
use crate::host::lan::{LanInner, Station};
use crate::host::machine::{Machine, Parts, Shard};
use crate::host::softnet::CpuShared;
use crate::host::steering::Steering;
use crate::host::sysctl::NetCore;
use crate::irq::controller::IrqController;
use crate::irq::line::IrqLine;
use crate::link::netem::{Links, Netem};
use crate::link::port::{Port, Sink};
use crate::nic::model::NicModel;
use crate::nic::offloads::Offloads;
use crate::nic::ring::TxQueue;
use crate::nic::{Nic, NicConfig};
use crate::stack::addresses::Cidr;
use crate::stack::autoconf::Ipv6Sysctls;
use crate::stack::config::{Limits, ShardOf, StackConfig};
use crate::stack::route::{METRIC_USER, Route, RouteTo};
use crate::stack::shard::Stack;
use crate::stack::tcp::congestion::choice::CongestionChoice;
use crate::stack::tcp::sysctl::TcpSysctls;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use wakeline_runtime::Handle;

/// Where a level-triggered line ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IrqChip {
    /// At an IO-APIC, which holds the line back until the end of an interrupt (`handle_fasteoi_irq`).
    #[default]
    IoApic,
    /// At an 8259, which is masked meanwhile (`handle_level_irq`).
    Pic,
}

/// A host that does not exist yet.
#[derive(Debug)]
#[must_use = "a host exists once it is built"]
pub struct HostBuilder {
    lan: Arc<LanInner>,
    name: Arc<str>,
    cpus: usize,
    links: Links,
    model: NicModel,
    queues: Option<usize>,
    rx_ring: Option<usize>,
    tx_ring: Option<usize>,
    irq_chip: IrqChip,
    threadirqs: bool,
    core: NetCore,
    offloads: Offloads,
    mtu: usize,
    limits: Limits,
    /// What the user has said of addresses and routes, read when the host is built.
    addrs: Vec<String>,
    routes: Vec<(String, RouteTo)>,
    forwards: bool,
    tcp: TcpSysctls,
    /// What was said of `net.ipv6.conf.all`.
    ipv6: Vec<(String, u32)>,
    /// The first name or value of a sysctl that there is not.
    bad_sysctl: Option<String>,
}

const CPUS_MAX: usize = 64;
const MTU_DEFAULT: usize = 1500;
/// `IPV6_MIN_MTU`
const MTU_MIN: usize = 1280;
/// What the length field of an IPv4 packet can say.
const MTU_MAX: usize = 65_535;
/// The most text of a super-segment: with all headers it is a packet whose length an IP header can say.
const GSO_MAX: u32 = 65_000;
/// The first interrupt number of a device; lower ones belong to the platform.
const IRQ_BASE: u32 = 24;

impl HostBuilder {
    pub(crate) fn new(lan: Arc<LanInner>, name: Arc<str>) -> HostBuilder {
        HostBuilder {
            lan,
            name,
            cpus: 1,
            links: Netem::new().into(),
            model: NicModel::default(),
            queues: None,
            rx_ring: None,
            tx_ring: None,
            irq_chip: IrqChip::default(),
            threadirqs: false,
            core: NetCore::default(),
            offloads: Offloads::SOFTWARE,
            mtu: MTU_DEFAULT,
            limits: Limits::default(),
            addrs: Vec::new(),
            routes: Vec::new(),
            forwards: false,
            tcp: TcpSysctls::default(),
            ipv6: Vec::new(),
            bad_sysctl: None,
        }
    }

    /// An address with the length of its network's prefix, such as `"192.168.7.2/24"`, or `"fd01::2/64"`. The first of a
    /// family takes the place of the one that the LAN would give; further ones are added. The link-local one stays.
    pub fn addr(mut self, addr: &str) -> HostBuilder {
        self.addrs.push(addr.to_owned());
        self
    }

    /// The router to everywhere else, which must be on the link; one for each family.
    pub fn gateway(self, router: impl Into<IpAddr>) -> HostBuilder {
        let router = router.into();
        let everywhere = if router.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
        self.route(everywhere, router)
    }

    /// A route, such as `route("10.1.0.0/16", router)` with the address of a router on the link, or with another
    /// [`RouteTo`]. Of several that fit, the one with the longest prefix counts.
    pub fn route(mut self, prefix: &str, to: impl Into<RouteTo>) -> HostBuilder {
        self.routes.push((prefix.to_owned(), to.into()));
        self
    }

    /// Passes on packets that are for others, as `net.ipv4.ip_forward` and `net.ipv6.conf.all.forwarding` do: a router
    /// between the networks of its addresses.
    pub fn forward(mut self, forwards: bool) -> HostBuilder {
        self.forwards = forwards;
        self
    }

    /// How many emulated CPUs, and so shards of the stack, the host has: 1 to 64, 1 by default.
    pub fn cpus(mut self, cpus: usize) -> HostBuilder {
        self.cpus = cpus;
        self
    }

    /// How many queue pairs the host's device has: by default one for each CPU, or as many as its model can have. Queue `n`
    /// interrupts CPU `n`, and queues beyond the last CPU begin again with CPU 0.
    pub fn queues(mut self, queues: usize) -> HostBuilder {
        self.queues = Some(queues);
        self
    }

    /// Whose device it is: an ixgbe by default.
    pub fn nic(mut self, model: NicModel) -> HostBuilder {
        self.model = model;
        self
    }

    /// Where the line of a device without MSI-X ends.
    pub fn irq_chip(mut self, chip: IrqChip) -> HostBuilder {
        self.irq_chip = chip;
        self
    }

    /// Whether the handlers of interrupts run in threads of the kernel's, as with `threadirqs` on its command line.
    pub fn threadirqs(mut self, threaded: bool) -> HostBuilder {
        self.threadirqs = threaded;
        self
    }

    /// How the host's link treats frames; perfect by default.
    pub fn link(mut self, netem: Netem) -> HostBuilder {
        self.links = netem.into();
        self
    }

    /// How the host's link treats the frames that the host sends; leaves the other direction as it is.
    pub fn egress(mut self, netem: Netem) -> HostBuilder {
        self.links.up = netem;
        self
    }

    /// How the host's link treats the frames for the host; leaves the other direction as it is.
    pub fn ingress(mut self, netem: Netem) -> HostBuilder {
        self.links.down = netem;
        self
    }

    /// How many descriptors each receive and each transmit ring has, within the limits of the device's model and rounded up
    /// to its step: for an ixgbe 64 to 4096, a multiple of 8; 512 by default.
    pub fn rings(mut self, rx: usize, tx: usize) -> HostBuilder {
        (self.rx_ring, self.tx_ring) = (Some(rx), Some(tx));
        self
    }

    /// The work that the host leaves to its device or does at its edge, all of it: [`Offloads::SOFTWARE`] by default, so that
    /// every frame on the wire is a real one.
    pub fn offloads(mut self, offloads: Offloads) -> HostBuilder {
        self.offloads = offloads;
        self
    }

    /// The largest IP packet of the host's interface, in bytes: 1280 to 65535, 1500 by default. A device loses longer frames,
    /// so all hosts of a LAN should agree; TCP finds the smaller of two by itself.
    pub fn mtu(mut self, mtu: usize) -> HostBuilder {
        self.mtu = mtu;
        self
    }

    /// `SO_RCVBUF` and `SO_SNDBUF` of new TCP sockets, in bytes as the kernel accounts them. They do not grow by themselves
    /// then, as they do otherwise.
    pub fn tcp_buffers(mut self, rcvbuf: usize, sndbuf: usize) -> HostBuilder {
        (self.limits.rcvbuf, self.limits.sndbuf) = (rcvbuf, sndbuf);
        self.limits.buffers_grow = false;
        self
    }

    /// Which congestion control new TCP sockets have (`net.ipv4.tcp_congestion_control`).
    pub fn tcp_congestion(mut self, choice: CongestionChoice) -> HostBuilder {
        self.limits.congestion = choice;
        self
    }

    /// Whether TCP sends at a pace, over a round trip, instead of a window at once; off by default, as in Linux without
    /// the `fq` discipline. BBR always does.
    pub fn tcp_pacing(mut self, paced: bool) -> HostBuilder {
        self.limits.paced = paced;
        self
    }

    /// Sets what Linux lets a host's owner choose, by Linux's name: `net.core.somaxconn`, `net.ipv4.tcp_max_tw_buckets`,
    /// `net.ipv4.tcp_timestamps`, `tcp_sack`, `tcp_syncookies`, `tcp_max_syn_backlog`, `tcp_abort_on_overflow`,
    /// `tcp_synack_retries`, `tcp_tw_reuse`, `tcp_rfc1337`, `tcp_max_orphans`, `tcp_challenge_ack_limit`, `tcp_mem` (its third
    /// number, in pages), `net.ipv4.neigh.default.gc_thresh1`, `gc_thresh2` and `gc_thresh3`, which here bound the neighbours of
    /// both families together. Those of the receive path can be set later as well, with [`Host::set_sysctl`]. With several CPUs
    /// each bound is one CPU's.
    ///
    /// Of IPv6 `net.ipv6.conf.all.accept_dad`, `optimistic_dad` and `accept_ra`: whether others are asked if they have an
    /// address of the host's, before it is used or while it is (RFC 4862, RFC 4429); and whether routers are asked for, and
    /// give addresses and ways (RFC 4861). Where the LAN reaches beyond the emulation when the host is built, the last two
    /// are 1; elsewhere addresses are unique by construction, nobody is asked, and all of them are 0.
    ///
    /// A name or a value that there is not is told by [`build`](HostBuilder::build).
    ///
    /// # Examples
    /// ```no_run
    /// # fn example() -> std::io::Result<()> {
    /// use wakeline_net::emulated::Lan;
    ///
    /// let lan = Lan::new();
    /// let server = lan.host("server").sysctl("net.ipv4.tcp_syncookies", 0).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn sysctl(mut self, name: &str, value: u32) -> HostBuilder {
        let known = match name {
            "net.core.somaxconn" => {
                self.limits.somaxconn = value;
                true
            }
            "net.ipv4.neigh.default.gc_thresh1" => {
                self.limits.neigh.keep = value as usize;
                true
            }
            "net.ipv4.neigh.default.gc_thresh2" => {
                self.limits.neigh.soft = value as usize;
                true
            }
            "net.ipv4.neigh.default.gc_thresh3" => {
                self.limits.neigh.max = value as usize;
                true
            }
            "net.ipv4.tcp_max_tw_buckets" => {
                self.limits.time_wait_max = value as usize;
                true
            }
            _ => {
                if let Some(name) = name.strip_prefix("net.core.") {
                    self.core.set(name, value).is_ok()
                } else if let Some(name) = name.strip_prefix("net.ipv4.") {
                    self.tcp.set(name, value)
                } else if let Some(name) = name.strip_prefix("net.ipv6.conf.all.") {
                    self.ipv6.push((name.to_owned(), value));
                    Ipv6Sysctls::OFF.clone().set(name, value)
                } else {
                    false
                }
            }
        };
        if !known {
            self.bad_sysctl.get_or_insert_with(|| format!("{name} = {value}"));
        }
        self
    }

    /// How many sockets may exist on each CPU.
    ///
    /// With so many, `bind` and `connect` fail with `ENFILE`, as on a system without free files. `accept` does not: a connection
    /// for which there is no room is not made, and its peer, who hears nothing, tries again.
    pub fn sockets_max(mut self, sockets: usize) -> HostBuilder {
        self.limits.sockets_max = sockets;
        self
    }

    /// Plugs the host in and runs its CPUs as tasks of the current runtime.
    ///
    /// # Errors
    /// `InvalidInput` for a number of CPUs, a ring size or an MTU out of bounds and for a sysctl that there is not,
    /// `AlreadyExists` for a name in use, `AddrNotAvailable` when the LAN is full, and `Other` outside a runtime.
    pub fn build(self) -> io::Result<Host> {
        let handle = Handle::try_current().map_err(|_| {
            io::Error::other(
                "a host needs a runtime to run its CPUs: build it inside one, or use build_threaded() for a thread per CPU",
            )
        })?;
        self.build_with(&Spawner::Runtime(handle))
    }

    /// Plugs the host in and runs each of its CPUs on a thread of its own: for programs without an executor.
    ///
    /// # Errors
    /// As [`HostBuilder::build`], and those of starting a thread.
    pub fn build_threaded(self) -> io::Result<Host> {
        self.build_with(&Spawner::Threads)
    }

    fn build_with(mut self, spawner: &Spawner) -> io::Result<Host> {
        self.check()?;
        let station = self.lan.new_station()?;
        let addrs = self.addrs(station)?;
        let routes = self.routes(&addrs)?;
        self.lan.join(&self.name, known_by(&addrs))?;
        let core = Arc::new(std::mem::take(&mut self.core));
        self.limits.busy_read_usecs = core.busy_read.get();
        let cpus: Vec<Arc<CpuShared>> = (0..self.cpus).map(|_| Arc::new(CpuShared::new(core.clone()))).collect();
        let nic = Arc::new(self.device(&cpus));
        let mut rng = self.lan.fork_rng();
        let port =
            Arc::new(Port::new(self.name.clone(), Some(station.mac), Sink::Nic(nic.clone()), self.links, &mut rng));
        let port_id = self.lan.switch.plug(port.clone()).expect("stations are unique on their LAN");
        let now = self.lan.clock.now();
        let tracer = self.lan.trace.tracer(self.name.clone());
        let secret = std::array::from_fn(|_| rng.next_u64());
        let shards = (0..self.cpus).map(|index| {
            let config = self.stack_config((station, &addrs, &routes), &nic, secret, index);
            let stack = Stack::new(config, self.lan.pool.cache_of(index), rng.fork());
            let tx = TxQueue::new(self.tx_ring.unwrap_or(self.model.limits().ring_default));
            Shard::new(stack, tx, tracer.clone(), now)
        });
        let shards = shards.collect();
        let machine = Arc::new(Machine::new(Parts {
            name: self.name.clone(),
            addrs: known_by(&addrs),
            driver: self.driver(nic.queue_count()),
            irqs: self.irqs(&nic),
            steering: Steering::new(self.cpus as u16, self.model.limits().indirection, nic.queue_count() != self.cpus),
            nic,
            core,
            clock: self.lan.clock.clone(),
            tracer: tracer.clone(),
            lan: self.lan.clone(),
            port: port.clone(),
            port_id,
            cpus: cpus.clone(),
            shards,
        }));
        // From here on dropping the machine undoes everything.
        for (index, shared) in cpus.into_iter().enumerate() {
            let cpu = CpuEngine::new(index, shared, machine.works());
            spawner.start(format!("{}/cpu{index}", self.name), self.lan.clock.clone(), cpu)?;
        }
        self.lan.start_delay_lines(spawner, &self.name, self.links, &port, port_id)?;
        if self.ipv6() != Ipv6Sysctls::OFF {
            (0..self.cpus).for_each(|cpu| machine.with_stack(cpu, |stack, now, fx| stack.start(now, fx)));
        }
        Ok(Host::new(machine))
    }

    fn check(&mut self) -> io::Result<()> {
        let invalid = |text: String| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        if !(1..=CPUS_MAX).contains(&self.cpus) {
            return invalid(format!("a host has 1 to {CPUS_MAX} CPUs, not {}", self.cpus));
        }
        if !(MTU_MIN..=MTU_MAX).contains(&self.mtu) {
            return invalid(format!("an MTU is {MTU_MIN} to {MTU_MAX} bytes, not {}", self.mtu));
        }
        self.offloads = self.offloads.fixed();
        let limits = self.model.limits();
        if let Some(queues) = self.queues
            && !(1..=limits.queues_max).contains(&queues)
        {
            return invalid(format!("this device has 1 to {} queues, not {queues}", limits.queues_max));
        }
        for ring in [&mut self.rx_ring, &mut self.tx_ring].into_iter().flatten() {
            let (min, max) = (limits.ring_min, limits.ring_max);
            *ring = match limits.ring(*ring) {
                Ok(rounded) => rounded,
                Err(_) => return invalid(format!("a ring of this device has {min} to {max} descriptors, not {ring}")),
            };
        }
        if let Some(sysctl) = &self.bad_sysctl {
            return invalid(format!("there is no sysctl {sysctl}"));
        }
        if self.name.is_empty() || self.name.contains(':') {
            return invalid(format!("{:?} is no host name: it must not be empty nor contain a colon", self.name));
        }
        Ok(())
    }

    /// The addresses of the host: the user's, or the LAN's, those of IPv4 first, and the link-local one.
    fn addrs(&self, station: Station) -> io::Result<Vec<Cidr>> {
        let mut chosen = Vec::new();
        for text in &self.addrs {
            let addr = prefix_of(text)?;
            let ip = addr.addr;
            if ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || !text.contains('/') {
                return Err(not_an_address(text));
            }
            chosen.push(addr);
        }
        let [v4, v6, link_local] = station.addrs();
        for given in [v4, v6] {
            if !chosen.iter().any(|own| own.addr.is_ipv4() == given.addr.is_ipv4()) {
                chosen.push(given);
            }
        }
        chosen.push(link_local);
        chosen.sort_by_key(|own| own.addr.is_ipv6());
        Ok(chosen)
    }

    fn routes(&self, addrs: &[Cidr]) -> io::Result<Vec<Route>> {
        let mut routes = Vec::new();
        for (prefix, to) in &self.routes {
            let route = user_route(prefix, *to)?;
            if let RouteTo::Via(router) = *to
                && (router.is_ipv4() != route.prefix.addr.is_ipv4() || !addrs.iter().any(|own| own.contains(router)))
            {
                let text = format!("the router {router} of the route to {prefix} is not on the link");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            routes.push(route);
        }
        Ok(routes)
    }

    fn device(&self, cpus: &[Arc<CpuShared>]) -> Nic {
        let name: Arc<str> = "eth0".into();
        let limits = self.model.limits();
        let queues = self.queues.unwrap_or(self.cpus.min(limits.queues_max));
        let controllers: Arc<[Arc<IrqController>]> = cpus.iter().map(|cpu| cpu.irq.clone()).collect();
        let line = |queue: usize| {
            let index = u32::try_from(queue).expect("a device has at most 64 queues");
            let (number, cpu) = (IRQ_BASE + index, queue % cpus.len());
            if limits.is_legacy {
                return IrqLine::new(number, name.clone(), index, cpu, controllers.clone());
            }
            let name = format!("{name}-TxRx-{queue}").into();
            IrqLine::new(number, name, index, cpu, controllers.clone()).with_auto_mask()
        };
        let lines = (0..queues).map(line).collect();
        let config = NicConfig {
            model: self.model,
            rx_ring: self.rx_ring.unwrap_or(limits.ring_default),
            offloads: self.offloads,
            mtu: self.mtu,
        };
        Nic::new(name, self.lan.clock.clone(), lines, config)
    }

    fn driver(&self, queues: usize) -> Driver {
        let merges = self.offloads.contains(Offloads::GENERIC_RECEIVE);
        let gros = (0..queues).map(|_| merges.then(Gro::default)).collect();
        Driver::new(self.model.limits(), gros)
    }

    fn irqs(&self, nic: &Nic) -> Growing<IrqDesc> {
        let desc = |queue: usize| {
            let line = nic.line(queue);
            let (flow, chip) = match (self.model.limits().is_legacy, self.irq_chip) {
                (false, _) => (Flow::Edge, msix_chip(queue)),
                (true, IrqChip::IoApic) => (Flow::Fasteoi, format!("IO-APIC  {}-fasteoi", line.number())),
                (true, IrqChip::Pic) => (Flow::Level, format!("XT-PIC  {}-level", line.number())),
            };
            IrqDesc::new(queue, flow, chip, self.cpus, line.name().clone(), self.threadirqs)
        };
        Growing::new((0..nic.queue_count()).map(desc), self.model.limits().queues_max)
    }

    fn stack_config(
        &self,
        (station, addrs, routes): (Station, &[Cidr], &[Route]),
        nic: &Nic,
        secret: [u64; 4],
        index: usize,
    ) -> StackConfig {
        let as_u32 = |n: usize| u32::try_from(n).expect("a host has at most 64 CPUs");
        StackConfig {
            mac: station.mac,
            addrs: addrs.to_vec(),
            routes: routes.to_vec(),
            forwards: self.forwards,
            mtu: self.mtu,
            dev: nic.name().clone(),
            secret,
            shard: ShardOf { index: as_u32(index), count: as_u32(self.cpus) },
            checksum_offload: self.offloads.contains(Offloads::TX_CHECKSUMMING),
            gso_max: if self.offloads.intersects(Offloads::SEGMENTATION) { GSO_MAX } else { 0 },
            cuts_itself: !self.offloads.contains(Offloads::TCP_SEGMENTATION),
            limits: self.limits,
            tcp: self.tcp,
            ipv6: self.ipv6(),
        }
    }

    /// What the host finds out by itself: on a LAN that reaches beyond the emulation more than elsewhere.
    fn ipv6(&self) -> Ipv6Sysctls {
        let mut sysctls = if self.lan.switch.has_uplink() { Ipv6Sysctls::AMONG_OTHERS } else { Ipv6Sysctls::OFF };
        for (name, value) in &self.ipv6 {
            // Those that there are not have been found.
            let _ = sysctls.set(name, *value);
        }
        sysctls
    }
}

/// The addresses under which a host's name stands: the first of each family.
fn known_by(addrs: &[Cidr]) -> Vec<IpAddr> {
    let first = |v4: bool| addrs.iter().map(|own| own.addr).find(|addr| addr.is_ipv4() == v4);
    first(true).into_iter().chain(first(false)).collect()
}

/// A route as a user adds it.
pub(crate) fn user_route(prefix: &str, to: RouteTo) -> io::Result<Route> {
    Ok(Route { prefix: prefix_of(prefix)?, to, metric: METRIC_USER, expires_at: None })
}

/// An address and the length of its prefix.
pub(crate) fn prefix_of(text: &str) -> io::Result<Cidr> {
    text.parse().map_err(|_| not_an_address(text))
}

fn not_an_address(text: &str) -> io::Error {
    let text = format!("{text:?} is no address of a host or network: it should read like 10.1.0.0/16 or fd01::/64");
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
