//! curl and wrk against the server of the example `tap_http`.

#[allow(dead_code, reason = "the server without its command line")]
#[path = "../../examples/tap/http.rs"]
mod example;

use crate::lab::{Lab, printed, run, start, within};

const LARGE: &str = "/file/100000000";

async fn served() -> (Lab, String) {
    let lab = Lab::new();
    lab.host.spawn(example::serve(80));
    let url = format!("http://{}", lab.host.addr());
    (lab, url)
}

#[test]
fn curl_gets_a_hundred_megabytes_with_the_right_checksum() {
    within(&["curl", "sha256sum", "sh"], || async {
        let (lab, url) = served().await;
        let got = printed("sh", &["-c", &format!("curl -sSf {url}{LARGE} | sha256sum")]).await;
        let told = printed("curl", &["-sSf", &format!("{url}{LARGE}.sha256")]).await;
        assert_eq!(got.split(' ').next(), told.split(' ').next());
        assert_eq!(told.split(' ').next().unwrap().len(), 64);
        lab.finish().await;
    });
}

#[test]
fn requests_are_answered_or_refused_as_http_says() {
    within(&["curl"], || async {
        let (lab, url) = served().await;
        let code = async |args: &[&str]| {
            printed("curl", &[&["-s", "-o", "/dev/null", "-w", "%{http_code} %{num_connects}"], args].concat()).await
        };
        assert_eq!(code(&[&format!("{url}/")]).await, "200 1");
        assert_eq!(code(&["-I", &format!("{url}/file/7")]).await, "200 1");
        assert_eq!(code(&[&format!("{url}/nothing")]).await, "404 1");
        assert_eq!(code(&[&format!("{url}/file/99999999999999999999")]).await, "404 1");
        assert_eq!(code(&["-d", "body", &format!("{url}/")]).await, "413 1");
        assert_eq!(code(&["-X", "DELETE", &format!("{url}/")]).await, "405 1");
        assert_eq!(code(&["-H", &format!("X: {}", "x".repeat(9000)), &format!("{url}/")]).await, "431 1");
        // The second goes over the connection of the first.
        let both =
            printed("curl", &["-sS", "-w", "%{num_connects} ", &format!("{url}/file/0"), &format!("{url}/file/0")])
                .await;
        assert_eq!(both, "1 0 ");
        lab.finish().await;
    });
}

#[test]
fn many_connections_ask_at_once_and_some_go_away_in_the_middle() {
    within(&["wrk", "curl"], || async {
        let (lab, url) = served().await;
        let mut leaving = start("curl", &["-s", "-o", "/dev/null", "--limit-rate", "1M", &format!("{url}{LARGE}")]);
        let text = printed("wrk", &["-t", "1", "-c", "50", "-d", "1s", &format!("{url}/file/1000")]).await;
        leaving.kill().unwrap();
        leaving.wait().unwrap();
        assert!(!text.contains("Socket errors") && !text.contains("Non-2xx"), "{text}");
        assert!(run("curl", &["-sSf", &format!("{url}/")]).await.status.success());
        lab.finish().await;
    });
}
