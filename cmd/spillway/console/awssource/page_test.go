package awssource

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/price"
)

// page answers with a page of a source.
func page(t *testing.T, handler http.Handler, path string) string {
	t.Helper()
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost"+path, nil))
	body, err := io.ReadAll(w.Body)
	if err != nil || w.Code != http.StatusOK {
		t.Errorf("%s answers %d, %v\n%s", path, w.Code, err, body)
	}
	return string(body)
}

// metricsAMinute is how many metrics the page reads in a minute for those who watch these charts,
// with the one request for all alarms, which costs as much as a metric.
func metricsAMinute(t *testing.T, c *cloud, paths ...string) int {
	t.Helper()
	s := c.open(t)
	handler := console.New(console.Config{Source: s})
	read := 0.0
	for i := range 3 {
		for _, path := range paths {
			page(t, handler, path)
		}
		if i > 0 && s.meter.total.MetricReads != read {
			t.Errorf("another view in the same minute has read %v more metrics", s.meter.total.MetricReads-read)
		}
		read = s.meter.total.MetricReads
	}
	return len(s.metrics.series) + 1
}

func TestWatchingCostsWhatThePageSays(t *testing.T) {
	if s := time.Now().Second(); s > 55 { // a minute's end between two views would count twice
		time.Sleep(time.Duration(60-s) * time.Second)
	}
	c := newCloud(t)
	short, all := metricsAMinute(t, c, "/"), metricsAMinute(t, c, "/", "/?span=3h", "/?span=24h")
	hour := price.Usage{MetricReads: float64(60 * short), SQSRequests: 3 * 360}.Bill().Total()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "docs", "console.md"))
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%d metrics and requests a minute while somebody watches, and none when nobody does: "+
		"$%.3f an hour", short, hour); !strings.Contains(string(text), want) {
		t.Errorf("docs/console.md does not say %q", want)
	}
	if all > short+5 {
		t.Errorf("all charts together read %d metrics a minute, and one %d", all, short)
	}
}

func TestThePageShowsWhatMayBeReadAndWhyTheRestIsMissing(t *testing.T) {
	c := newCloud(t)
	c.send(t, c.names.EventsQueue, 2)
	c.denied["cloudwatch:GetMetricData"], c.denied["cloudwatch:DescribeAlarms"] = denial, denial
	c.denied["ssm:GetParameter"] = denial
	body := page(t, console.New(console.Config{Source: c.open(t)}), "/")
	for _, want := range []string{"2 messages", "allow your role cloudwatch:GetMetricData",
		"allow your role cloudwatch:DescribeAlarms",
		"allow your role ssm:GetParameter"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q\n%s", want, body)
		}
	}
	c = newCloud(t)
	c.changes("segment-failing", "OK", "ALARM", 50*time.Minute)
	c.denied["cloudwatch:DescribeAlarmHistory"], c.denied["sqs:GetQueueAttributes"] = denial, denial
	c.put("EventsDelivered", time.Now().Add(-5*time.Minute), 4321)
	body = page(t, console.New(console.Config{Source: c.open(t)}), "/")
	for _, want := range []string{"4,321", "allow your role sqs:GetQueueAttributes",
		"allow your role cloudwatch:DescribeAlarmHistory",
		topology.DefaultNames().Alarm("segment-failing")[len("spillway-"):]} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q\n%s", want, body)
		}
	}
}

// Somebody has to press the button before a log is read for money.
func TestThePageReadsNothingForMoneyUnlessItIsAsked(t *testing.T) {
	c := newCloud(t)
	c.put("IncomingBytes//aws/lambda/shop-ingest", time.Now().Add(-30*time.Minute), 3e9)
	s := c.open(t)
	handler := console.New(console.Config{Source: s})
	body := page(t, handler, "/")
	if !strings.Contains(body, "about $0.0150 (3.0 GB)") || len(c.queries) > 0 {
		t.Errorf("%d queries, and the page shows\n%s", len(c.queries), body)
	}
	_, after, _ := strings.Cut(body, `name="token" value="`)
	token, _, _ := strings.Cut(after, `"`)
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/senders",
		strings.NewReader("token="+token))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, request)
	if len(c.queries) != 4 || w.Code != http.StatusSeeOther {
		t.Errorf("pressed, it is answered %d after %d queries", w.Code, len(c.queries))
	}
	if body = page(t, handler, "/"); !strings.Contains(body, "4.0 GB of logs") || len(c.queries) != 4 {
		t.Errorf("after %d queries the page shows\n%s", len(c.queries), body)
	}
}
