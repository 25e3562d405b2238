package doctor

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
)

// timeout bounds each call.
const timeout = 10 * time.Second

// An answer is what an HTTP server said to a GET.
type answer struct {
	url    string
	status int
	body   string // at most maxBody
	took   time.Duration
}

// maxBody is how much of an answer is read: far more than the status of `up` has.
const maxBody = 1 << 20

// get asks a server. A redirect is an answer.
func get(ctx context.Context, client *http.Client, url string) read[answer] {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	a := answer{url: url}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return read[answer]{a, err, ""}
	}
	asking := *client
	asking.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	began := time.Now()
	response, err := asking.Do(request)
	if err != nil {
		return read[answer]{a, err, ""}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	a.status, a.body, a.took = response.StatusCode, string(body), time.Since(began)
	return read[answer]{a, err, ""}
}

// slowHealth is how long /health may take: a cold start takes less.
const slowHealth = 3 * time.Second

// beginning is as much of a page as a line can hold.
func beginning(body string) string {
	const most = 200
	body = terminal.OneLine(body)
	if len(body) > most {
		return strings.ToValidUTF8(body[:most], "") + "…"
	}
	return body
}

const checkIngest = "ingest endpoint"

// judgeHealth says what an answer to GET /health of the ingest endpoint means.
func judgeHealth(r read[answer]) Finding {
	const check, logs = checkIngest, "read the ingest function's log, and the alarms that fire"
	a := r.value
	switch {
	case r.err != nil:
		return finding(Failed, check, "check the address, its certificate and what stands in front of it",
			"%s does not answer: %v", a.url, r.err)
	case a.status != http.StatusOK:
		return finding(Failed, check, logs, "%s answers %d: %s", a.url, a.status, beginning(a.body))
	case strings.Contains(a.body, "write_keys_old"):
		return finding(Warning, check, "check the newest set of write keys with spillway keys check, and correct it",
			"%s answers 200, and an earlier set of write keys is used", a.url)
	case a.took > slowHealth:
		return finding(Warning, check, logs, "%s answers 200, after %v", a.url, a.took.Round(time.Millisecond))
	}
	return ok(check, "%s answers 200 in %v", a.url, a.took.Round(time.Millisecond))
}

// judgeShared says what an answer to GET /health of the name means that several regions share. Any
// of them may have answered, and a check of each region says how that one is.
func judgeShared(r read[answer]) Finding {
	const check = "shared name"
	switch a := r.value; {
	case r.err != nil:
		return finding(Failed, check,
			"look whether its records exist, and lead to the output IngestTarget of each region's stack",
			"%s does not answer: %v", a.url, r.err)
	case a.status != http.StatusOK:
		return finding(Failed, check, "spillway region ls, and the doctor of the other regions", "%s answers %d: %s", a.url,
			a.status, beginning(a.body))
	}
	return ok(check, "%s leads to a region that answers 200", r.value.url)
}

// judgeSegment says what an answer of Segment's host means. No event is sent: any answer says that
// the host can be reached.
func judgeSegment(r read[answer]) Finding {
	const check = "Segment"
	a := r.value
	switch {
	case r.err != nil:
		return finding(Failed, check, "check this machine's network; the function's own calls are the next check",
			"%s can't be reached from this machine: %v", a.url, r.err)
	case a.status >= http.StatusInternalServerError:
		return finding(Failed, check, "look at status.segment.com", "%s answers %d", a.url, a.status)
	}
	return ok(check, "%s can be reached from this machine, in %v", a.url, a.took.Round(time.Millisecond))
}

// judgeCalls says what the deliver function's calls to Segment in the last minutes mean. failing is
// why most of them failed, nil if they did not.
func judgeCalls(r read[error]) Finding {
	const check = "calls to Segment"
	switch {
	case r.err != nil:
		return r.unknown(check)
	case r.value != nil:
		return finding(Failed, check, "look at status.segment.com; events are safe in the queue for 10 days", "%v", r.value)
	}
	return ok(check, "the deliver function's did not fail in the last 15 minutes, or there were none")
}

// judgeDeadLetters says what the number of messages in the dead-letter queue means. flags name the
// pipeline to the other verbs.
func judgeDeadLetters(messages int64, flags string) Finding {
	const check = "dead letters"
	if messages == 0 {
		return ok(check, "there are none")
	}
	return finding(Warning, check, strings.TrimSpace("spillway dlq ls "+flags),
		"the dead-letter queue holds %s; SQS deletes each 14 days after it was written",
		terminal.Plural(messages, "message"))
}
