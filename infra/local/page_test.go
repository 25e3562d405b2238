package local_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

// An attack is a request that a browser sends for a page of evil.example.
type attack struct {
	method, path, body string
	headers            []string // pairs
}

// rebound are the requests of a page whose name suddenly leads to this machine: to the browser they
// are of the same origin, so it lets the page send any header and read the answer.
func rebound(target string) []attack {
	headers := []string{"Sec-Fetch-Site", "same-origin", "Host", "evil.example"}
	origin := append([]string{"Origin", "http://evil.example"}, headers...)
	action := func(name, body string) attack {
		return attack{"POST", "/", body, append([]string{"X-Amz-Target", "AmazonSQS." + name}, origin...)}
	}
	queue := `{"QueueUrl":"` + target + `"}`
	return []attack{
		action("ReceiveMessage", queue), action("PurgeQueue", queue), action("DeleteQueue", queue),
		action("ListQueues", "{}"),
		{"GET", "/_spillway/queues", "", headers}, {"GET", local.StatusPath, "", headers},
		{"GET", local.OutcomesPath + "?payload=true", "", headers},
		{"GET", "/_segmentd/events", "", headers}, {"POST", "/_segmentd/reset", "", origin},
		{"PUT", "/_segmentd/script", `{"rules":[{"status":400}]}`, origin}, {"POST", "/v1/batch", "{}", origin},
		{"GET", "/health", "", headers}, {"GET", "/v1/projects/k/settings", "", headers},
	}
}

// crossSite are the requests that a page of any site may send: it can't read the answers.
func crossSite(target string) []attack {
	simple := []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site", "Content-Type", "text/plain"}
	image := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}
	old := []string{"Referer", "https://evil.example/"}
	return []attack{
		{"POST", "/_segmentd/reset", "", simple}, {"POST", "/_segmentd/reset", "", []string{"Origin", "null"}},
		{"POST", "/", `{"QueueUrl":"` + target + `"}`, append([]string{"X-Amz-Target", "AmazonSQS.PurgeQueue"}, simple...)},
		{"OPTIONS", "/", "", append([]string{"Access-Control-Request-Method", "POST"}, simple...)},
		{"GET", local.OutcomesPath, "", image}, {"GET", local.OutcomesPath, "", old}, {"GET", "/_segmentd/events", "", image},
		{"DELETE", "/_segmentd/script", "", simple}, {"GET", "/health", "", simple},
	}
}

// send sends the attack to a port of this machine and returns the status.
func (a attack) send(t *testing.T, port string) int {
	t.Helper()
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r, err := http.NewRequest(a.method, "http://localhost:"+port+a.path, strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(a.headers); i += 2 {
		if a.headers[i] == "Host" {
			r.Host = a.headers[i+1] + ":" + port
		} else {
			r.Header.Set(a.headers[i], a.headers[i+1])
		}
	}
	var raw bytes.Buffer
	if err := r.Write(&raw); err != nil {
		t.Fatal(err)
	}
	if _, err := raw.WriteTo(conn); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%s %s on port %s lets the page read the answer", a.method, a.path, port)
	}
	return answer.StatusCode
}

func TestNoPageReadsOrChangesAnythingOnAnyPort(t *testing.T) {
	t.Parallel()
	arrivals := localtest.NewArrivals()
	p := localtest.StartEager(t, local.Config{IngestAddr: "127.0.0.1:0", OnEvent: arrivals.Add})
	dead := p.QueueURL("spillway-dead-letters")
	client := localtest.Client(p.SQSURL)
	if _, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String(dead),
		MessageBody: aws.String("a secret")}); err != nil {
		t.Fatal(err)
	}
	post(t, p.IngestURL+"/v1/track", `{"writeKey":"k","userId":"u","event":"Run","messageId":"kept"}`, nil)
	arrivals.AwaitEvent(t, "kept")
	for _, endpoint := range []string{p.SQSURL, p.SegmentURL, p.IngestURL} {
		u, err := url.Parse(endpoint)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range rebound(dead) {
			if status := a.send(t, u.Port()); status != http.StatusForbidden {
				t.Errorf("%s %s %v of a rebound name is answered %d by %s", a.method, a.path, a.headers, status, endpoint)
			}
		}
		for _, a := range crossSite(dead) {
			if endpoint == p.IngestURL && a.path != "/health" {
				continue // it has no other path that is not for pages
			}
			for range 20 { // more than may follow the outcomes at a time
				if status := a.send(t, u.Port()); status != http.StatusForbidden {
					t.Fatalf("%s %s %v of another site is answered %d by %s", a.method, a.path, a.headers, status, endpoint)
				}
			}
		}
	}
	if n := p.Status().DeadLetters; n != 1 {
		t.Errorf("%d dead letters are left of one", n)
	}
	if events := p.Segmentd().Events(segmentd.Query{}); len(events) != 1 {
		t.Errorf("the Segment emulator knows %d events, want one", len(events))
	}
	follower, err := http.Get(p.SQSURL + local.OutcomesPath)
	if err != nil {
		t.Fatal(err)
	}
	follower.Body.Close()
	if follower.StatusCode != http.StatusOK {
		t.Errorf("a tail is answered %d", follower.StatusCode)
	}
}

// post posts a body, and returns the answer's header.
func post(t *testing.T, url, body string, header http.Header) http.Header {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		r.Header = header
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusOK {
		t.Errorf("POST %s is answered %d: %s", url, answer.StatusCode, text)
	}
	return answer.Header
}

func TestAnSDKInAPageOfAnySiteReachesIngest(t *testing.T) {
	t.Parallel()
	arrivals := localtest.NewArrivals()
	p := localtest.StartEager(t, local.Config{IngestAddr: "127.0.0.1:0", OnEvent: arrivals.Add, Hosts: []string{"events.test"}})
	header := post(t, p.IngestURL+"/v1/t", `{"writeKey":"k","userId":"u","event":"Run","messageId":"from-a-page"}`,
		http.Header{"Origin": {"https://shop.example"}, "Sec-Fetch-Site": {"cross-site"}, "Content-Type": {"text/plain"}})
	if got := header.Get("Access-Control-Allow-Origin"); got != "https://shop.example" {
		t.Errorf("the page may not read the answer: %q", got)
	}
	arrivals.AwaitEvent(t, "from-a-page")
	u, _ := url.Parse(p.IngestURL)
	for host, want := range map[string]int{"events.test": 200, "host.docker.internal": 200, "127.0.0.1": 200,
		"evil.example": 403} {
		a := attack{"GET", "/v1/projects/k/settings", "", []string{"Host", host}}
		if got := a.send(t, u.Port()); got != want {
			t.Errorf("settings under the name %s: %d, want %d", host, got, want)
		}
	}
}
