package contents

import (
	"context"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/message"
)

// source is a pipeline of which only the queues are looked at.
type source struct {
	console.Source
	local bool
	dead  console.DeadLetters
	find  func(ctx context.Context, query string, most int) (console.Story, error)
}

func (s *source) About() console.About {
	return console.About{Pipeline: "spillway", Region: map[bool]string{false: "eu-west-1"}[s.local], Local: s.local,
		Version:  "v1.2.3",
		Topology: topology.Default(), Command: "spillway"}
}
func (s *source) DeadLetters() console.DeadLetters { return s.dead }
func (s *source) Find(ctx context.Context, q string, most int) (console.Story, error) {
	return s.find(ctx, q, most)
}
func (s *source) Switches() console.Switches { return nil }
func (s *source) Cost() string               { return "" }

// page is the operator's page of a bench.
type page struct {
	*bench
	t       testing.TB
	handler http.Handler
	token   string
	local   *Local
}

func newPage(t testing.TB, b *bench) *page {
	l := b.local(t)
	p := &page{bench: b, t: t, local: l}
	p.serve(&source{local: true, dead: l,
		find: func(ctx context.Context, q string, most int) (console.Story, error) { return l.Find(ctx, q, most, nil) }})
	return p
}

// serve makes the page of a source, and ends its actions at the end of the test.
func (p *page) serve(s *source) {
	c := console.New(console.Config{Source: s})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); c.Run(ctx) }()
	p.t.Cleanup(func() { cancel(); <-ended })
	p.handler = c
}

func (p *page) do(method, target string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://localhost:9326"+target, strings.NewReader(form.Encode()))
	if method == "POST" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "http://localhost:9326")
	}
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	return w
}

// get returns a page's HTML, and takes the token of its forms.
func (p *page) get(target string, status int) string {
	p.t.Helper()
	var w *httptest.ResponseRecorder
	for range 1000 {
		if p.local != nil {
			p.local.current(p.t.Context(), time.Minute)
		}
		// A page waits for the index for a moment only, which is too short on a busy machine.
		if w = p.do("GET", target, nil); !strings.Contains(w.Body.String(), "dead letters are read so far") {
			break
		}
	}
	if w.Code != status {
		p.t.Fatalf("%s: %d, want %d:\n%s", target, w.Code, status, text(w.Body.String()))
	}
	if m := regexp.MustCompile(`name="token" value="([^"]+)"`).FindStringSubmatch(w.Body.String()); m != nil {
		p.token = m[1]
	}
	return w.Body.String()
}

// post sends a form with the token and returns the page that it leads to.
func (p *page) post(target string, form url.Values) string {
	p.t.Helper()
	form.Set("token", p.token)
	w := p.do("POST", target, form)
	if w.Code == http.StatusSeeOther {
		return p.get(w.Header().Get("Location"), http.StatusOK)
	}
	return w.Body.String()
}

// ended waits for the end of an action and returns the list's text.
func (p *page) ended() string {
	p.t.Helper()
	for range 1000 {
		if s := text(p.get("/dead-letters", http.StatusOK)); !strings.Contains(s, "running") &&
			!strings.Contains(s, "stopping") {
			return s
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.t.Fatal("the action does not end")
	return ""
}

var tags = regexp.MustCompile(`<[^>]*>`)

// text is what a page says.
func text(page string) string {
	return strings.Join(strings.Fields(html.UnescapeString(tags.ReplaceAllString(page, " "))), " ")
}

func (p *page) says(page string, wants ...string) {
	p.t.Helper()
	s := text(page)
	for _, want := range wants {
		if !strings.Contains(s, want) {
			p.t.Errorf("the page does not say %q:\n%s", want, s)
		}
	}
}

func deadLetter(id, reason, event, user string) message.DeadLetter {
	return message.DeadLetter{ID: id, Reason: reason, Detail: "detail of " + id,
		Header:    message.Header{WriteKey: "the-shop-key"},
		FirstSeen: time.Now().Add(-time.Hour), LastSeen: time.Now(), Receives: 3,
		Events: [][]byte{fmt.Appendf(nil, `{"type":"track","event":%q,"userId":%q,"messageId":"m/%s"}`, event, user, id)}}
}

func TestTheWholePathOfDeadLettersWithoutScript(t *testing.T) {
	t.Parallel()
	p := newPage(t, newBench(t))
	p.says(p.get("/dead-letters", 200), "There are no dead letters")
	p.sendDead(t, deadLetter("a/1", message.ReasonRejected, "Paid", "anna"),
		deadLetter("a/2", message.ReasonRejected, "Paid", "bob"),
		deadLetter("b/1", message.ReasonInvalid, "Lost", "anna"), deadLetter("c", message.ReasonExpired, "Old", "carl"))
	p.says(p.get("/dead-letters", 200), "4 dead letters, 4 events", "rejected shop web 2 2", "a/1 rejected shop web 1")

	for query, want := range map[string]string{"?reason=rejected": "Selected are those with the reason rejected",
		"?user=anna":           "2 dead letters",
		"?event=Paid&user=bob": "1 dead letter, 1 event", "?key=shop+web&older=30m": "4 dead letters",
		"?newer=30m":                      "0 dead letters",
		"?reason=rejected&reason=invalid": "Selected are those with the reason rejected or invalid"} {
		p.says(p.get("/dead-letters"+query, 200), want)
	}
	p.says(p.get("/dead-letters?reason=rejectd", 400), `No dead letter has the reason "rejectd": the reasons are`)
	p.says(p.get("/dead-letters?older=yesterday", 400), `Older than must be a duration like 90m or 2h, is "yesterday"`)
	p.says(p.get("/dead-letters?older=3h&newer=2h", 400), "swap their values")

	one := p.get("/dead-letters/show?id=b%2F1", 200)
	p.says(one, "b/1 invalid", "against a rule of Segment", "detail of b/1", "shop web", "Receives 3")
	if strings.Contains(one, "anna") || strings.Contains(one, "the-shop-key") {
		t.Error("the payload is shown before anybody asked for it")
	}
	if w := p.do("GET", "/dead-letters/payload?id=b%2F1", nil); w.Code == 200 {
		t.Error("the payload has an address that a link can open")
	}
	w := p.do("POST", "/dead-letters/payload", url.Values{"token": {p.token}, "id": {"b/1"}})
	p.says(w.Body.String(), `"userId": "anna"`)
	if w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("the payload may be cached: %v", w.Header())
	}
	p.says(p.get("/dead-letters/show?id=nobody", 404), "no dead letter has the ID")

	w = p.do("POST", "/dead-letters/export", url.Values{"token": {p.token}, "reason": {"rejected"}})
	if got := w.Body.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, `"deadLetter":{"id":"a/1"`) ||
		!strings.HasPrefix(w.Header().Get("Content-Disposition"), "attachment; filename=\"spillway-dead-letters-") {
		t.Errorf("exported %v:\n%s", w.Header(), got)
	}

	redrive := p.get("/dead-letters/redrive", 200)
	p.says(redrive, "3 will be sent again", "1 with the reason invalid Redrive those")
	p.post("/dead-letters/redrive", url.Values{"rate": {"10000"}})
	p.says(p.ended(), "Redrive done", "3 dead letters with 3 events sent again",
		"1 dead letter with the reason invalid skipped", "1 dead letter, 1 event")
	if st := p.bulk.Stats(); st.Visible != 3 {
		t.Errorf("the bulk queue has %+v", st)
	}
	p.says(p.get("/dead-letters/redrive?reason=invalid", 200), "1 will be sent again")

	drop := p.get("/dead-letters/drop", 200)
	p.says(drop, "Drop 1 dead letter?", "Type the number 1")
	form := url.Values{"until": {time.Now().Format(time.RFC3339Nano)}, "count": {"1"}}
	form.Set("typed", "2")
	p.says(p.post("/dead-letters/drop", form), "Type the number 1 to confirm. Nothing was deleted")
	form.Set("typed", "1")
	p.post("/dead-letters/drop", form)
	p.says(p.ended(), "Drop done", "1 dead letter with 1 event deleted; all are in "+p.actions.Dir,
		"There are no dead letters")
	files, err := filepath.Glob(filepath.Join(p.actions.Dir, "spillway-dropped-*.ndjson"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %v, %v", files, err)
	}
	if lines, err := os.ReadFile(files[0]); err != nil || !strings.Contains(string(lines), `"deadLetter":{"id":"b/1"`) {
		t.Errorf("%v: %s", err, lines)
	}
}

// hostile is a text as an attacker sends it in an event's name, an ID, a reason or a detail.
const hostile = `"><script>alert(1)</script><img src=x onerror=alert(2)>{{.Token}}` + "\u202e"

func TestWhatSendersWriteIsNeverMarkup(t *testing.T) {
	t.Parallel()
	p := newPage(t, newBench(t))
	d := deadLetter(hostile, hostile, hostile, hostile)
	d.Detail = hostile
	p.sendDead(t, d, message.DeadLetter{ID: "x", Reason: "undecodable", Body: []byte(hostile)})
	p.send(t, p.actions.EventsURL,
		message.Message{Body: fmt.Sprintf(`{"type":"track","event":%q,"userId":%q,"messageId":%q}`, hostile, hostile,
			hostile)})
	q := url.QueryEscape(hostile)
	pages := []string{p.get("/dead-letters", 200), p.get("/dead-letters/show?id="+q, 200),
		p.get("/dead-letters?reason="+q+"&key="+q+"&event="+q+"&user="+q+"&id="+q, 200),
		p.get("/dead-letters?older="+q, 400), p.get("/dead-letters?before="+q, 400), p.get("/find?q="+q, 200),
		p.get("/dead-letters/redrive?reason="+q, 200),
		p.get("/dead-letters/drop?reason="+q, 200), p.get("/dead-letters/show?id=1"+q, 404),
		p.post("/dead-letters/payload", url.Values{"id": {hostile}}),
		p.post("/dead-letters/payload", url.Values{"id": {"x"}}),
		p.post("/dead-letters/redrive", url.Values{"rate": {hostile}}),
		p.post("/dead-letters/drop",
			url.Values{"until": {time.Now().Format(time.RFC3339)}, "count": {hostile}, "typed": {"1"}})}
	for i, got := range pages {
		if strings.Contains(got, "<script>alert") || strings.Contains(got, "<img src=x") ||
			strings.Contains(text(got), "\u202e") {
			t.Errorf("page %d has markup of a sender:\n%s", i, got)
		}
	}
	if !strings.Contains(pages[0], "&lt;script&gt;") || !strings.Contains(pages[9], "&lt;script&gt;") {
		t.Error("the texts are not shown at all")
	}
}

func TestAnActionNeedsTheTokenAndOneRunsAtATime(t *testing.T) {
	t.Parallel()
	p := newPage(t, newBench(t))
	p.sendDead(t, deadLetter("a", message.ReasonRejected, "E", "u"), deadLetter("b", message.ReasonRejected, "E", "u"),
		deadLetter("c", message.ReasonRejected, "E", "u"))
	p.get("/dead-letters", 200)
	for _, target := range []string{"redrive", "drop", "export", "payload", "read", "stop"} {
		if w := p.do("POST", "/dead-letters/"+target,
			url.Values{"id": {"a"}, "token": {"wrong"}}); w.Code != http.StatusForbidden {
			t.Errorf("%s without the token: %d", target, w.Code)
		}
	}
	p.says(p.post("/dead-letters/redrive", url.Values{"rate": {"0.5"}, "of": {"3"}}), "The redrive has begun",
		"Redrive running")
	if w := p.do("GET", "/dead-letters", nil); w.Header().Get("Refresh") == "" {
		t.Error("the progress is not refreshed")
	}
	p.says(p.post("/dead-letters/redrive", url.Values{}), "a redrive runs since")
	p.says(p.post("/dead-letters/drop",
		url.Values{"until": {time.Now().Format(time.RFC3339)}, "count": {"1"}, "typed": {"1"}}), "a redrive runs since")
	w := p.do("POST", "/dead-letters/export", url.Values{"token": {p.token}})
	p.says(w.Body.String(), "a redrive runs since")
	p.says(p.post("/dead-letters/stop", url.Values{"what": {"action"}}), "It is being stopped")
	p.says(p.ended(), "ended early", "It was stopped: what was not sent is still in the queue")
	dead, bulk := p.dead.Stats(), p.bulk.Stats()
	if dead.InFlight != 0 || dead.Visible+bulk.Visible != 3 {
		t.Errorf("of 3 dead letters are left %+v, sent %+v", dead, bulk)
	}
	for _, rate := range []string{"0", "-1", "NaN", "fast", "Inf"} {
		p.says(p.post("/dead-letters/redrive", url.Values{"rate": {rate}}), "rate must be")
	}
}

func TestARedriveSendsNothingWhileSegmentFailsUnlessItIsForced(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.actions.Check = func(context.Context) error {
		return fmt.Errorf("%w: the circuit breaker is open", deadletter.ErrFailing)
	}
	p := newPage(t, b)
	p.sendDead(t, deadLetter("a", message.ReasonRejected, "E", "u"))
	p.get("/dead-letters", 200)
	p.post("/dead-letters/redrive", url.Values{"reason": {"rejected"}})
	p.says(p.ended(), "Calls to Segment are failing: the circuit breaker is open", "Redrive all the same")
	if st := b.dead.Stats(); st.Visible != 1 {
		t.Fatalf("%+v", st)
	}
	page := p.get("/dead-letters", 200)
	m := regexp.MustCompile(`href="(/dead-letters/redrive[^"]*force[^"]*)"`).FindStringSubmatch(page)
	if m == nil || !strings.Contains(p.get(html.UnescapeString(m[1]), 200), `name="force" value="1" checked`) {
		t.Fatalf("no way to force it: %v", m)
	}
	p.post("/dead-letters/redrive", url.Values{"reason": {"rejected"}, "force": {"1"}})
	p.says(p.ended(), "1 dead letter with 1 event sent again")
}

func TestWhatComesAfterTheConfirmationIsNotDeleted(t *testing.T) {
	t.Parallel()
	p := newPage(t, newBench(t))
	p.sendDead(t, deadLetter("before", message.ReasonRejected, "E", "u"))
	page := p.get("/dead-letters/drop", 200)
	m := regexp.MustCompile(`name="until" value="([^"]+)"`).FindStringSubmatch(page)
	time.Sleep(5 * time.Millisecond) // SQS's times are in milliseconds
	p.sendDead(t, deadLetter("after", message.ReasonRejected, "E", "u"))
	p.post("/dead-letters/drop", url.Values{"until": {m[1]}, "count": {"1"}, "typed": {" 1 "}})
	p.says(p.ended(), "1 dead letter with 1 event deleted", "after rejected")
}

// counting is a queue of which a part has been read.
type counting struct{ *Local }

func (counting) Reading() console.Reading { return console.Reading{Running: true, Read: 3, Of: 1200} }

func TestNothingIsConfirmedBeforeAllDeadLettersAreCounted(t *testing.T) {
	p := newPage(t, newBench(t))
	p.serve(&source{local: true, dead: counting{p.local}})
	for _, target := range []string{"/dead-letters/drop", "/dead-letters/redrive"} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // else the page waits for the count
		w := httptest.NewRecorder()
		p.handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "http://localhost:9326"+target, nil))
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Refresh") == "" ||
			!strings.Contains(w.Body.String(), "3 of 1,200 so far") || strings.Contains(w.Body.String(), "<form method=\"post\"") {
			t.Errorf("%s: %d\n%s", target, w.Code, w.Body)
		}
	}
}

func TestADeletionWhoseDirectoryCanNotBeWrittenDeletesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.actions.Dir = filepath.Join(b.actions.Dir, "file")
	if err := os.WriteFile(b.actions.Dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := newPage(t, b)
	p.sendDead(t, deadLetter("a", message.ReasonRejected, "E", "u"))
	p.get("/dead-letters", 200)
	p.post("/dead-letters/drop",
		url.Values{"until": {time.Now().Format(time.RFC3339Nano)}, "count": {"1"}, "typed": {"1"}})
	p.says(p.ended(), "Nothing was deleted", "Make the directory for deleted dead letters")
	if st := b.dead.Stats(); st.Visible != 1 {
		t.Errorf("%+v", st)
	}
}

func TestCountsByReasonAndByKeyAreShownWhenThereAreManyOfBoth(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fillDead(t, 240) // of 8 reasons and 30 write keys
	p := newPage(t, b)
	page := p.get("/dead-letters?newer=1h", 200)
	p.says(page, "expired 30 invalid 30", "… and 108 more reasons and write keys")
	if n := len(regexp.MustCompile(`"/dead-letters\?key=[0-9a-f]{8}&amp;newer=1h">[0-9a-f]{8}</a> 8<`).FindAllString(page,
		-1)); n != 12 {
		t.Errorf("%d counts by write key:\n%s", n, text(page))
	}
	if !strings.Contains(page, `href="/dead-letters?newer=1h&amp;reason=expired"`) {
		t.Error("a reason does not lead to its dead letters")
	}
}

func TestADeletionThatIsStoppedLosesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const n = 300
	b.fillDead(t, n)
	p := newPage(t, b)
	// The program ends while some are written to the file.
	began := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	slow := &slowDrop{Local: p.local, began: began}
	c := console.New(console.Config{Source: &source{local: true, dead: slow}})
	p.handler = c
	ended := make(chan struct{})
	go func() { defer close(ended); c.Run(ctx) }()
	p.get("/dead-letters", 200)
	p.post("/dead-letters/drop",
		url.Values{"until": {time.Now().Format(time.RFC3339Nano)}, "count": {"300"}, "typed": {"300"}})
	<-began
	cancel()
	<-ended // Run waits for the action
	files, err := filepath.Glob(filepath.Join(p.actions.Dir, "*.ndjson"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %v, %v", files, err)
	}
	lines, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	saved, left := map[string]bool{}, map[string]bool{}
	for _, m := range regexp.MustCompile(`"deadLetter":\{"id":"(id/\d+)"`).FindAllStringSubmatch(string(lines), -1) {
		saved[m[1]] = true
	}
	for _, m := range b.dead.Look(allOf(b.dead)) {
		left[asReceived(&m).ID] = true
	}
	for i := range n {
		if id := fmt.Sprint("id/", i); !saved[id] && !left[id] {
			t.Errorf("%s is neither in the file nor in the queue", id)
		}
	}
	if st := b.dead.Stats(); len(left) == 0 || len(saved) == 0 || st.InFlight != 0 {
		t.Errorf("%d are saved, %d left, %d invisible", len(saved), len(left), st.InFlight)
	}
	p.says(p.get("/dead-letters", 200), "The program ended: what was not deleted is still in the queue")
}

// slowDrop takes its time for each write, and says when the first was done.
type slowDrop struct {
	*Local
	began chan struct{}
}

func (s *slowDrop) Drop(ctx context.Context, f deadletter.Filter, write func([]byte) error) (deadletter.ExportResult,
	error) {
	first := true
	return s.Local.Drop(ctx, f, func(lines []byte) error {
		err := write(lines)
		if first {
			first = false
			close(s.began)
		}
		time.Sleep(5 * time.Millisecond)
		return err
	})
}

func TestPagesWhileTheCommandRedrives(t *testing.T) {
	t.Parallel()
	p := newPage(t, newBench(t))
	p.fillDead(t, 600)
	list(t, p.local, console.DeadLetterQuery{})
	done := make(chan error)
	go func() {
		q := deadletter.New(p.api, p.actions.DeadLetterURL)
		_, err := q.Drop(context.Background(), deadletter.Filter{}, func([]byte) error { return nil })
		done <- err
	}()
	for i := 0; ; i++ {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			list(t, p.local, console.DeadLetterQuery{}) // waits until the index has all changes
			p.says(p.get("/dead-letters", 200), "There are no dead letters")
			return
		default:
			p.get("/dead-letters?user=u-7", 200)
			p.get("/dead-letters", 200)
		}
	}
}

func TestAQueueOnAWSIsReadByAButton(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := &page{bench: b, t: t}
	d := NewDeployed(b.actions)
	t.Cleanup(d.Close)
	p.serve(&source{dead: d, find: func(_ context.Context, q string, most int) (console.Story, error) {
		return d.Find(q, most), nil
	}})
	p.sendDead(t, deadLetter("a", message.ReasonRejected, "E", "anna"))
	p.says(p.get("/dead-letters", 200), "have not been read yet", "20,000 requests ($0.01)", "Read the dead letters")
	p.says(p.get("/dead-letters/redrive", 409), "read them first")
	p.says(p.get("/dead-letters/show?id=a", 404), "read them on the page")
	p.says(p.get("/find?q=anna", 200), "No trace of anna", "they have not been read yet")
	p.post("/dead-letters/read", url.Values{})
	for d.Reading().Running {
		time.Sleep(10 * time.Millisecond)
	}
	p.says(p.get("/dead-letters", 200), "Read at", "1 dead letter, 1 event", "a rejected shop web")
	p.says(p.get("/find?q=anna", 200), "became a dead letter: rejected")
	p.says(p.post("/dead-letters/payload", url.Values{"id": {"a"}}), `"userId": "anna"`)
	p.get("/dead-letters", 200)
	p.post("/dead-letters/redrive", url.Values{})
	for range 500 {
		if s := text(p.get("/dead-letters", 200)); strings.Contains(s, "Redrive done") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.says(p.get("/dead-letters", 200), "Dead letters were redriven or dropped since: read them again")
}

func TestAnExportThatEndsEarlyIsCutOff(t *testing.T) {
	b := newBench(t)
	p := newPage(t, b)
	broken := &source{local: true, dead: &brokenExport{Local: p.local}}
	p.serve(broken)
	p.sendDead(t, deadLetter("a", message.ReasonRejected, "E", "u"))
	p.get("/dead-letters", 200)
	defer func() {
		if recover() != http.ErrAbortHandler {
			t.Error("the answer ends as if it were whole")
		}
	}()
	p.do("POST", "/dead-letters/export", url.Values{"token": {p.token}})
}

type brokenExport struct{ *Local }

func (*brokenExport) Export(_ context.Context, _ deadletter.Filter, write func([]byte) error) (deadletter.ExportResult,
	error) {
	return deadletter.ExportResult{}, errors.Join(write([]byte("{}\n")), errors.New("broken"))
}
