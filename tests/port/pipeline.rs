//! Stages that hand on to each other, with an end and an error that travel through.

use std::io;
use tokio::sync::mpsc;

async fn read(lines: &'static [&'static str], out: mpsc::Sender<String>) -> io::Result<usize> {
    for line in lines {
        if out.send(line.to_string()).await.is_err() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
    }
    Ok(lines.len())
}

async fn parse(mut lines: mpsc::Receiver<String>, out: mpsc::UnboundedSender<i64>) -> io::Result<()> {
    while let Some(line) = lines.recv().await {
        let number = line.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        out.send(number).map_err(|_| io::ErrorKind::BrokenPipe)?;
    }
    Ok(())
}

async fn sum(mut numbers: mpsc::UnboundedReceiver<i64>) -> io::Result<i64> {
    let mut sum = 0;
    while let Some(number) = numbers.recv().await {
        sum += number;
    }
    Ok(sum)
}

async fn run(lines: &'static [&'static str]) -> io::Result<(usize, i64)> {
    let (line, lines_out) = mpsc::channel(1);
    let (number, numbers) = mpsc::unbounded_channel();
    let (read, (), sum) = tokio::try_join!(read(lines, line), parse(lines_out, number), sum(numbers))?;
    Ok((read, sum))
}

#[tokio::test]
async fn to_the_end() {
    assert_eq!(run(&["1", "20", "300"]).await.unwrap(), (3, 321));
    assert_eq!(run(&[]).await.unwrap(), (0, 0));
}

#[tokio::test]
async fn or_to_the_first_error() {
    assert_eq!(run(&["1", "two", "3", "4", "5"]).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn two_sources_in_one_loop() {
    let (left, mut from_left) = mpsc::channel(2);
    let (right, mut from_right) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for n in 0..5 {
            left.send(n).await.unwrap();
        }
    });
    tokio::spawn(async move {
        for n in 5..10 {
            right.send(n).unwrap();
            tokio::task::yield_now().await;
        }
    });
    let mut seen = Vec::new();
    loop {
        tokio::select! {
            Some(n) = from_left.recv() => seen.push(n),
            Some(n) = from_right.recv() => seen.push(n),
            else => break,
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, Vec::from_iter(0..10));
}
