//! What our host tells routers about the groups that it is in, read by somebody else: IGMPv3 and MLDv2 by tshark.

use crate::lab::{printed, within};
use wakeline::net::UdpSocket;
use wakeline::net::emulated::{Lan, Tap};

#[test]
fn reports_of_groups_are_read_by_tshark() {
    within(&["tshark"], || async {
        let lan = Lan::with_seed(1);
        let file = std::env::temp_dir().join(format!("wakeline-groups-{}.pcapng", std::process::id()));
        let capture = lan.capture(std::fs::File::create(&file).unwrap()).unwrap();
        let _port = lan.attach(Tap::open("tap0").unwrap()).unwrap();
        let host = lan.host("host").build().unwrap();
        let socket = host.run(UdpSocket::bind("[::]:9")).await.unwrap();
        let (v4, v6) = ("239.1.2.3".parse().unwrap(), "ff05::1234".parse().unwrap());
        socket.join_multicast_v4(v4, std::net::Ipv4Addr::UNSPECIFIED).unwrap();
        socket.join_multicast_v6(&v6, 0).unwrap();
        socket.leave_multicast_v4(v4, std::net::Ipv4Addr::UNSPECIFIED).unwrap();
        socket.leave_multicast_v6(&v6, 0).unwrap();
        wakeline::spawn_blocking(|| capture.finish()).await.unwrap().unwrap();
        let read = async |filter: &str, fields: &[&str]| {
            let mut args = vec!["-n", "-r", file.to_str().unwrap(), "-Y", filter, "-T", "fields", "-E", "separator=|"];
            fields.iter().for_each(|field| args.extend(["-e", field]));
            printed("tshark", &args).await
        };
        // Exclude nothing: it has joined. Include nothing: it has left.
        let fields = ["ip.dst", "ip.ttl", "igmp.version", "igmp.record_type", "igmp.maddr", "igmp.checksum.status"];
        let expected = "224.0.0.22|1|3|4|239.1.2.3|1\n224.0.0.22|1|3|3|239.1.2.3|1\n";
        assert_eq!(read("igmp", &fields).await, expected);
        let fields = [
            "ipv6.dst",
            "ipv6.hlim",
            "icmpv6.mldr.mar.record_type",
            "icmpv6.mldr.mar.multicast_address",
            "icmpv6.checksum.status",
        ];
        let expected = "ff02::16|1|4|ff05::1234|1\nff02::16|1|3|ff05::1234|1\n";
        assert_eq!(read("icmpv6.type == 143", &fields).await, expected);
        assert_eq!(read("_ws.malformed", &["frame.number"]).await, "");
        std::fs::remove_file(file).unwrap();
    });
}
