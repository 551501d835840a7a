//! A file server: a client names a file below the current directory, and gets its bytes.
//!
//! ```text
//! cargo run --example files                                                 a server and a client, checked
//! cargo run --example files -- --backend os                                 the same on the system's network
//! cargo run --example files -- --listen 127.0.0.1:7000                      then: echo Cargo.toml | nc -N 127.0.0.1 7000
//! ```
//! The answer is a line, `ok LENGTH` or `error REASON`, and after `ok` the bytes. Files are read by the blocking pool, a piece at a
//! time, so a slow client costs a buffer and not a file's worth of memory.

#[path = "common/stage.rs"]
mod stage;

use stage::{Stage, expect};
use std::io;
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use wakeline::fs::{self, File};
use wakeline::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy};
use wakeline::net::{TcpListener, TcpStream};
use wakeline::time::timeout;

fn main() -> ExitCode {
    stage::run("files", serve, play)
}

/// Of a name.
const NAME_BYTES_MAX: u64 = 4096;
/// How long a client may take to say it.
const PATIENCE: Duration = Duration::from_secs(10);
const PIECE_BYTES: usize = 64 << 10;

async fn serve(addr: String) -> io::Result<()> {
    let listener = TcpListener::bind(&addr).await?;
    println!("files below {} on {}, until Ctrl-C", Path::new(".").display(), listener.local_addr()?);
    give(listener, fs::canonicalize(".").await?, PATIENCE).await
}

async fn give(listener: TcpListener, root: PathBuf, patience: Duration) -> io::Result<()> {
    loop {
        let (stream, _) = stage::accept("files", &listener).await?;
        wakeline::spawn(answer(stream, root.clone(), patience));
    }
}

async fn answer(stream: TcpStream, root: PathBuf, patience: Duration) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut name = String::new();
    timeout(patience, (&mut stream).take(NAME_BYTES_MAX).read_line(&mut name)).await.map_err(io::Error::from)??;
    let stream = stream.get_mut();
    match open(&root, name.trim_end()).await {
        Ok((file, len)) => {
            stream.write_all(format!("ok {len}\n").as_bytes()).await?;
            // Who writes to the file meanwhile must not make this longer than it was said to be.
            copy(BufReader::with_capacity(PIECE_BYTES, file.take(len)), &mut *stream).await?;
        }
        Err(error) => stream.write_all(format!("error {error}\n").as_bytes()).await?,
    }
    stream.close().await
}

/// The file below `root` of this name, and its length.
async fn open(root: &Path, name: &str) -> io::Result<(File, u64)> {
    let name = Path::new(name);
    if name.as_os_str().is_empty() || !name.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a name goes down from here, and nowhere else"));
    }
    // Links may lead out, too. Who may change the directory while this looks could still do it; this is no sandbox.
    let path = fs::canonicalize(root.join(name)).await?;
    if !path.starts_with(root) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let file = File::open(path).await?;
    let metadata = file.metadata().await?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "that is no file"));
    }
    Ok((file, metadata.len()))
}

async fn play(stage: Stage) -> io::Result<()> {
    let root = std::env::temp_dir().join(format!("wakeline-files-{}", std::process::id()));
    fs::create_dir_all(root.join("below")).await?;
    let text: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    fs::write(root.join("below/text"), &text).await?;
    fs::write(root.join("empty"), b"").await?;
    let played = check(&stage, fs::canonicalize(&root).await?, text).await;
    fs::remove_dir_all(&root).await?;
    played?;
    println!("files came back as they are, what is no file below the root was refused, and who dawdled was left");
    Ok(())
}

/// Begins to serve, and says where.
async fn begin(bind: &'static str, root: PathBuf, patience: Duration) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(bind).await?;
    let addr = listener.local_addr()?;
    wakeline::spawn(give(listener, root, patience));
    Ok(addr)
}

async fn check(stage: &Stage, root: PathBuf, text: Vec<u8>) -> io::Result<()> {
    let bind = stage.bind();
    let addr = stage.server(begin(bind, root.clone(), PATIENCE)).await??;
    let hasty = stage.server(begin(bind, root, Duration::from_millis(50))).await??;
    let (head, body) = stage.client(ask(addr, "below/text")).await??;
    expect((head.as_str(), body == text), ("ok 1000000\n", true))?;
    expect(stage.client(ask(addr, "empty")).await??, ("ok 0\n".to_owned(), Vec::new()))?;
    for refused in ["nothing", "below", "../etc/passwd", "/etc/passwd", "."] {
        let (head, body) = stage.client(ask(addr, refused)).await??;
        expect((head.starts_with("error "), body.len()), (true, 0))?;
    }
    stage.client(misbehave(addr, hasty)).await??;
    expect(stage.client(ask(addr, "empty")).await??, ("ok 0\n".to_owned(), Vec::new()))
}

/// A name without an end, and one that does not come.
async fn misbehave(addr: SocketAddr, hasty: SocketAddr) -> io::Result<()> {
    let mut long = TcpStream::connect(addr).await?;
    long.write_all(&[b'x'; NAME_BYTES_MAX as usize]).await?;
    let mut told = String::new();
    long.read_to_string(&mut told).await?;
    expect(told.starts_with("error "), true)?;
    let mut slow = TcpStream::connect(hasty).await?;
    slow.write_all(b"bel").await?;
    expect(slow.read(&mut [0; 8]).await?, 0)
}

async fn ask(addr: SocketAddr, name: &'static str) -> io::Result<(String, Vec<u8>)> {
    let mut stream = BufReader::new(TcpStream::connect(addr).await?);
    stream.get_mut().write_all(format!("{name}\n").as_bytes()).await?;
    let (mut head, mut body) = (String::new(), Vec::new());
    stream.read_line(&mut head).await?;
    stream.read_to_end(&mut body).await?;
    Ok((head, body))
}
