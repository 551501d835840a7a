//! TCP with the kernel as the peer, in both roles.

use crate::namespace::{KERNEL, lan, within};
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::{TcpListener, TcpStream};

async fn echo(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        wakeline::spawn(async move {
            let (mut reader, mut writer) = stream.split();
            let _ = wakeline::io::copy(&mut reader, &mut writer).await;
            let _ = writer.close().await;
        });
    }
}

async fn requests(server: String, rounds: u32) {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let mut back = [0; 200];
    for round in 0..rounds {
        let sent = [round as u8; 200];
        stream.write_all(&sent).await.unwrap();
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(back, sent);
    }
}

#[test]
fn the_kernel_asks_and_our_server_answers() {
    within(&[], || async {
        let (lan, _port) = lan();
        let host = lan.host("host").build().unwrap();
        let listener = host.run(TcpListener::bind("0.0.0.0:7000")).await.unwrap();
        host.spawn(echo(listener));
        requests(format!("{}:7000", host.addr()), 500).await;
    });
}

#[test]
fn our_client_asks_and_the_kernel_answers() {
    within(&[], || async {
        let (lan, _port) = lan();
        let host = lan.host("host").build().unwrap();
        wakeline::spawn(echo(TcpListener::bind("0.0.0.0:7000").await.unwrap()));
        host.spawn(requests(format!("{KERNEL}:7000"), 500)).await.unwrap();
    });
}
