package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// upWithPage starts `up` and opens its operator's page.
func upWithPage(t *testing.T, args ...string) (greeting, page string) {
	t.Helper()
	out, stop := inBackground(t, append([]string{"up", "--sqs-port=0", "--segment-port=0", "--ingest-port=0",
		"--console-port=0", "--data-dir=" + t.TempDir()}, args...)...)
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	await(t, "its addresses", func() bool { return strings.Contains(out.String(), " dlq ls") })
	greeting = out.String()
	found := regexp.MustCompile(`operator's page +(http\S+)`).FindStringSubmatch(greeting)
	queue := regexp.MustCompile(`events queue +(http\S+)`).FindStringSubmatch(greeting)
	if found == nil || queue == nil {
		t.Fatalf("it printed\n%s", greeting)
	}
	// `spillway console` finds it.
	if out, _, err := spillway(t.Context(), "", "console", "--queue-url="+queue[1]); err != nil || out != found[1]+"\n" {
		t.Errorf("spillway console: %v, printed %q", err, out)
	}
	return greeting, found[1]
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestUpServesTheOperatorsPageToThisMachineOnly(t *testing.T) {
	t.Parallel()
	greeting, page := upWithPage(t, "--listen=0.0.0.0", "--name=staging")
	if status, body := get(t, page); status != http.StatusOK || !strings.Contains(body, "staging") {
		t.Errorf("%d\n%s", status, body)
	}
	if !strings.Contains(greeting, "The operator's page can be opened on this machine only.") {
		t.Errorf("it printed\n%s", greeting)
	}
	ips, port := reaching(t, page)
	for _, ip := range ips {
		if ip.IsLoopback() {
			continue
		}
		if c, err := net.Dial("tcp", net.JoinHostPort(ip.String(), port)); err == nil {
			c.Close()
			t.Errorf("the page can be reached at %s", ip)
		}
	}
}

// reaching are all addresses of this machine, and the port of the page.
func reaching(t *testing.T, page string) (ips []net.IP, port string) {
	t.Helper()
	u, err := url.Parse(page)
	if err != nil {
		t.Fatal(err)
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		ips = append(ips, a.(*net.IPNet).IP)
	}
	return ips, u.Port()
}

func TestThePageTakesAFreePortUnlessOneIsNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args    []string
		any     bool
		address string
	}{
		"default":    {[]string{}, true, "127.0.0.1:9326"},
		"named":      {[]string{"--console-port=9326"}, false, "127.0.0.1:9326"},
		"a free one": {[]string{"--console-port=0"}, false, "127.0.0.1:0"},
	} {
		var p consolePort
		command := &cobra.Command{Run: func(*cobra.Command, []string) {}}
		p.register(command)
		command.SetArgs(c.args)
		if err := command.Execute(); err != nil {
			t.Fatal(err)
		}
		p.chosen(command)
		if p.any != c.any || p.address("0.0.0.0") != c.address || p.address("127.0.0.1") != c.address {
			t.Errorf("%s: %+v, at %s", name, p, p.address("0.0.0.0"))
		}
	}
	p := consolePort{port: defaultConsolePort, any: true}
	if got := p.address("::1"); got != "[::1]:9326" {
		t.Errorf("on a machine with IPv6 only it listens on %s", got)
	}
	var out bytes.Buffer
	p.warn(&out, "http://localhost:9326")
	p.warn(&out, "")
	if out.Len() > 0 {
		t.Errorf("it warns %q", &out)
	}
	p.warn(&out, "http://localhost:41234")
	if got := out.String(); !strings.HasPrefix(got, "Warning: port 9326 is in use, so the operator's page is at http://localhost:41234.") {
		t.Errorf("it says %q", got)
	}
}

func TestConsoleSaysThatUpServesNoPage(t *testing.T) {
	t.Parallel()
	out, stop := inBackground(t, "up", "--sqs-port=0", "--segment-port=0", "--ingest-port=0", "--console=false",
		"--data-dir="+t.TempDir())
	await(t, "its addresses", func() bool { return strings.Contains(out.String(), " dlq ls") })
	queue := regexp.MustCompile(`events queue +(http\S+)`).FindStringSubmatch(out.String())
	_, _, err := spillway(t.Context(), "", "console", "--queue-url="+queue[1])
	if err == nil || !strings.Contains(err.Error(), "it was started with --console=false") {
		t.Error(err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestConsoleBelievesNoOtherServerThatItIsUp(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		`{}`:                                 "a version of Spillway that has none",
		`{"consoleURL":"javascript:x"}`:      `the operator's page is at "javascript:x"`,
		`{"consoleURL":"http://a\u001b[2J"}`: `the operator's page is at "http://a\x1b[2J"`,
		`[`:                                  "is it a `spillway up` of this version?",
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) }))
		out, _, err := spillway(t.Context(), "", "console", "--queue-url="+s.URL+"/000000000000/spillway-events")
		if err == nil || !strings.Contains(err.Error(), want) || out != "" {
			t.Errorf("%s: %q, %v", answer, out, err)
		}
		s.Close()
	}
}

func TestThePageOfAContainerCanBeReachedFromOutsideIt(t *testing.T) {
	t.Parallel()
	greeting, page := upWithPage(t, "--listen=0.0.0.0", "--console-listen=0.0.0.0")
	if status, _ := get(t, page); status != http.StatusOK || !strings.Contains(greeting,
		"Warning: every machine that reaches this one by any of its addresses can open the operator's page") ||
		strings.Contains(greeting, "this machine only") {
		t.Errorf("%d, it printed\n%s", status, greeting)
	}
	ips, port := reaching(t, page)
	for _, ip := range ips {
		if ip.To4() != nil {
			if status, _ := get(t, "http://"+net.JoinHostPort(ip.String(), port)); status != http.StatusOK {
				t.Errorf("at %s the page answers %d", ip, status)
			}
		}
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, page, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = "rebound.example" // as a web page of another site would ask
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusForbidden {
		t.Errorf("under another site's name the page answers %s", answer.Status)
	}
	for _, args := range [][]string{{"--console-listen=elsewhere.example"}, {"--console-listen=0.0.0.0", "--console=false"}} {
		if _, _, err := spillway(t.Context(), "", append([]string{"up", "--data-dir=" + t.TempDir()}, args...)...); err == nil ||
			!strings.HasPrefix(err.Error(), "--console-listen ") {
			t.Errorf("%q: %v", args, err)
		}
	}
}
