package doctor

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/status"
)

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// seen is a document of what was seen some time before noon.
func seen(ago time.Duration) status.Document {
	d := status.New()
	d.ObservedAt, d.WrittenAt = noon.Add(-ago), noon.Add(-ago)
	return d
}

// healthySite is a status site in two regions in which nothing is wrong.
func healthySite() site {
	t := topology.NewStatusSite(topology.DefaultOptions())
	s := site{names: read[[]string]{value: []string{"eu-central-1", "eu-west-3"}},
		url: read[string]{value: "https://status.test"}}
	for _, name := range s.names.value {
		s.regions = append(s.regions, statusRegion{name: name, topic: "arn:aws:sns:" + name + ":123456789012:spillway-tickets",
			told: read[[]subscription]{value: []subscription{{"arn:aws:sns:x:y:z", "email", "ops@example.com"}}},
			alarms: read[map[string]alarm]{value: map[string]alarm{"spillway-status-stale": {state: "OK", actionsEnabled: true,
				actions: []string{"arn:aws:sns:x:y:spillway-tickets"}}}},
			function: read[function]{value: function{State: "Active", Timeout: int(t.Functions[0].Timeout.Seconds())}},
			document: read[status.Document]{value: seen(20 * time.Second)},
		})
	}
	d := seen(50 * time.Second)
	s.page = &read[answer]{value: answer{url: "https://status.test/status.json", status: http.StatusOK,
		body: string(d.Encode()), took: time.Millisecond}}
	return s
}

func judged(s *site) Report {
	return newReport("spillway", "eu-west-1", judgeSite(topology.DefaultNames(), s, noon))
}

func TestAHealthyStatusSiteHasNoFinding(t *testing.T) {
	s := healthySite()
	if r := judged(&s); notOK(r) != "" || len(r.Checks) != 9 {
		t.Errorf("%d checks:\n%s", len(r.Checks), notOK(r))
	}
	if r := judged(&site{}); len(r.Checks) != 0 {
		t.Errorf("without a site there are %+v", r.Checks)
	}
}

func TestEachFaultOfAStatusSiteIsFound(t *testing.T) {
	page := func(change func(*read[answer])) func(*site) { return func(s *site) { change(s.page) } }
	old := seen(4 * time.Minute)
	for want, breakIt := range map[string]func(*site){
		"unknown status site: as AWS says it ssm:GetParameter": func(s *site) {
			s.names = read[[]string]{err: code("AccessDeniedException"), permission: "ssm:GetParameter"}
		},
		"warning subscriptions spillway-tickets in eu-central-1: nobody is told": func(s *site) { s.regions[0].told.value = nil },
		"failed alarms in eu-west-3: 1 of 1 fire: spillway-status-stale since": func(s *site) {
			s.regions[1].alarms.value["spillway-status-stale"] = alarm{state: "ALARM", since: noon, actionsEnabled: true,
				actions: []string{"arn:aws:sns:x:y:spillway-tickets"}}
		},
		"failed function spillway-status in eu-central-1: does not exist": func(s *site) {
			s.regions[0].function.err = code("ResourceNotFoundException")
		},
		"failed status site in eu-west-3: its bucket has no status.json: nothing has been written yet": func(s *site) {
			s.regions[1].document.err = fmt.Errorf("read: %w", status.ErrNotFound)
		},
		"failed status site in eu-west-3: it shows what was 4m0s ago": func(s *site) { s.regions[1].document.value = old },
		"failed status site in eu-west-3: the status document is broken": func(s *site) {
			s.regions[1].document.err = status.ErrBroken
		},
		"unknown status site in eu-west-3: as AWS says it s3:GetObject": func(s *site) {
			s.regions[1].document.err, s.regions[1].document.permission = code("AccessDenied"), "s3:GetObject"
		},
		"failed status page: none of the stacks spillway-eu-central-1-status, spillway-eu-west-3-status says": func(s *site) {
			s.page, s.url = nil, read[string]{err: code("ValidationError")}
		},
		"unknown status page: as AWS says it cloudformation:DescribeStacks": func(s *site) {
			s.page, s.url = nil, read[string]{err: code("AccessDenied"), permission: "cloudformation:DescribeStacks"}
		},
		"failed status page: https://status.test/status.json does not answer": page(func(r *read[answer]) {
			r.err = &url.Error{Op: "Get", URL: "https://status.test", Err: errors.New("no such host")}
		}),
		"failed status page: https://status.test/status.json answers 404: <Error>": page(func(r *read[answer]) {
			r.value.status, r.value.body = http.StatusNotFound, "<Error>"
		}),
		"failed status page: https://status.test/status.json: the status document is broken": page(func(r *read[answer]) {
			r.value.body = "<html>"
		}),
		"failed status page: https://status.test/status.json shows what was 4m0s ago": page(func(r *read[answer]) {
			r.value.body = string(old.Encode())
		}),
	} {
		s := healthySite()
		breakIt(&s)
		if got := notOK(judged(&s)); !strings.HasPrefix(got, want) || strings.Contains(got, "\n") {
			t.Errorf("%q, want one line that begins with %q", got, want)
		}
	}
}
