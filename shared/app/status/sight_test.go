package status

import (
	"errors"
	"fmt"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/status"
)

var now = time.Date(2026, 11, 27, 8, 30, 20, 0, time.UTC)

// ago is a point of the minute that began so many minutes ago.
func ago(minutes int, value float64) Point {
	return Point{now.Truncate(time.Minute).Add(-time.Duration(minutes) * time.Minute), value}
}

// well is the reading of a region in which all is well.
func well() Reading {
	return Reading{Region: "eu-west-1", At: now, Health: Health{Status: 200, Took: 40 * time.Millisecond},
		Alarms:   map[string]string{"shop-delivery-down": "OK", "shop-delivery-slow": "OK", "shop-ingest-down": "OK"},
		Waiting:  3,
		Ages:     []Point{ago(2, 1.5), ago(3, 0.7)},
		Canaries: []Point{ago(3, 1), ago(2, 1), ago(4, 1)},
	}
}

func TestWhatAReadingSaysToCustomers(t *testing.T) {
	unresolved := &net.DNSError{Err: "server misbehaving", Name: "x.execute-api.eu-west-1.amazonaws.com",
		IsTemporary: true}
	noName := &net.DNSError{Err: "no such host", Name: "x.execute-api.eu-west-1.amazonaws.com", IsNotFound: true}
	refused := errors.New("connection refused")
	denied := errors.New("AccessDenied: no")
	const never = "nil"
	for name, c := range map[string]struct {
		change           func(*Reading)
		ingest, delivery status.Sight
		oldest, canary   string // never: not known
		alarms, failure  string // the failure contains it; empty: there is none
	}{
		"all is well": {nil, status.Up, status.Up, "1.5s", "2m20s", "", ""},
		"ingest answers 503": {func(r *Reading) { r.Health.Status = 503 },
			status.Down, status.Up, "1.5s", "2m20s", "", "GET /health: 503 Service Unavailable"},
		"ingest does not answer": {func(r *Reading) { r.Health = Health{Err: refused} },
			status.Down, status.Up, "1.5s", "2m20s", "", "GET /health: connection refused"},
		"another program answers": {func(r *Reading) { r.Health.Status = 404 },
			status.Down, status.Up, "1.5s", "2m20s", "", "404"},
		"the gateway is at its limit": {func(r *Reading) { r.Health.Status = 429 },
			status.Slow, status.Up, "1.5s", "2m20s", "", "429"},
		"ingest is slow": {func(r *Reading) { r.Health.Took = 7 * time.Second },
			status.Slow, status.Up, "1.5s", "2m20s", "", "took 7s"},
		"our name server fails": {func(r *Reading) { r.Health = Health{Err: unresolved} },
			status.Unknown, status.Up, "1.5s", "2m20s", "", "the name server fails"},
		"the endpoint's name does not exist": {func(r *Reading) { r.Health = Health{Err: fmt.Errorf("dial: %w", noName)} },
			status.Down, status.Up, "1.5s", "2m20s", "", "no such host"},
		"the endpoint is not known": {func(r *Reading) { r.URLErr = denied },
			status.Unknown, status.Up, "1.5s", "2m20s", "", "AccessDenied"},
		"nothing is delivered on purpose": {func(r *Reading) { r.NoDelivery, r.Alarms = true, nil },
			status.Up, "", "1.5s", "2m20s", "", ""},
		"there is no ingest endpoint": {func(r *Reading) { r.NoIngest, r.Health, r.Canaries = true, Health{}, nil },
			"", status.Up, "1.5s", never, "", ""},

		"delivery is down": {func(r *Reading) { r.Alarms["shop-delivery-down"] = firing; r.Ages = []Point{ago(2, 720)} },
			status.Up, status.Down, "13m20s", "2m20s", "shop-delivery-down", ""},
		"delivery is slow": {func(r *Reading) { r.Alarms["shop-delivery-slow"] = firing },
			status.Up, status.Slow, "1.5s", "2m20s", "shop-delivery-slow", ""},
		"all three alarms fire": {func(r *Reading) {
			for a := range r.Alarms {
				r.Alarms[a] = firing
			}
		}, status.Up, status.Down, "1.5s", "2m20s", "shop-delivery-down shop-delivery-slow shop-ingest-down", ""},
		"events are old before an alarm fires": {func(r *Reading) { r.Ages = []Point{ago(1, 650)} },
			status.Up, status.Slow, "11m10s", "2m20s", "", ""},
		"the alarms can't be read": {func(r *Reading) { r.Alarms, r.AlarmsErr = nil, denied },
			status.Up, status.Unknown, "1.5s", "2m20s", "", "AccessDenied"},
		"there is no pipeline": {func(r *Reading) { r.Alarms = map[string]string{} },
			status.Up, status.Unknown, "1.5s", "2m20s", "", "deploy the pipeline in eu-west-1"},
		"the alarms are new": {func(r *Reading) { r.Alarms["shop-delivery-down"] = notKnown },
			status.Up, status.Unknown, "1.5s", "2m20s", "", "no data yet"},
		"the metrics stand still": {func(r *Reading) { r.Canaries = []Point{ago(20, 1), ago(3, 0)} },
			status.Up, status.Unknown, "1.5s", "20m20s", "", "metrics do not arrive in CloudWatch"},
		"no canary is accepted, because ingest is down": {func(r *Reading) {
			r.Canaries, r.Health = []Point{ago(20, 1)}, Health{Err: refused}
		}, status.Down, status.Up, "1.5s", "20m20s", "", "connection refused"},
		"no canary is accepted, says an alarm": {func(r *Reading) {
			r.Canaries, r.Alarms["shop-ingest-down"] = []Point{ago(20, 1)}, firing
		}, status.Up, status.Up, "1.5s", "20m20s", "shop-ingest-down", ""},
		"there are no canaries": {func(r *Reading) { r.Canaries = nil }, status.Up, status.Up, "1.5s", never, "", ""},
		"the canaries can't be read": {func(r *Reading) { r.Canaries, r.CanariesErr = nil, denied },
			status.Up, status.Up, "1.5s", never, "", "AccessDenied"},

		"nothing waits": {func(r *Reading) { r.Waiting, r.Ages = 0, []Point{ago(2, 720)} },
			status.Up, status.Up, "0s", "2m20s", "", ""},
		"it is not known since when something waits": {func(r *Reading) { r.Ages = nil },
			status.Up, status.Up, never, "2m20s", "", ""},
		"the ages are from before the outage": {func(r *Reading) { r.Ages = []Point{ago(30, 7200)} },
			status.Up, status.Up, never, "2m20s", "", ""},
		"the ages are no ages": {func(r *Reading) { r.Ages = []Point{ago(2, math.NaN()), ago(2, 1e300), ago(2, -5)} },
			status.Up, status.Up, never, "2m20s", "", ""},
		"the ages can't be read": {func(r *Reading) { r.Ages, r.AgesErr = nil, denied },
			status.Up, status.Up, never, "2m20s", "", "AccessDenied"},
		"the queue can't be read": {func(r *Reading) { r.Waiting, r.WaitingErr = 0, denied },
			status.Up, status.Up, "1.5s", "2m20s", "", "AccessDenied"},
		"one environment of deliver knows the oldest": {func(r *Reading) {
			r.Ages = []Point{ago(1, 2), ago(3, 300),
				ago(4, 1)}
		},
			status.Up, status.Up, "7m20s", "2m20s", "", ""},
		"CloudWatch's clock is ahead": {func(r *Reading) { r.Ages, r.Canaries = []Point{ago(-1, 90)}, []Point{ago(-1, 1)} },
			status.Up, status.Up, "1m30s", "0s", "", ""},
		"nothing answers at all": {func(r *Reading) {
			*r = Reading{Region: "eu-west-1", At: now, Health: Health{Err: refused}, AlarmsErr: denied, WaitingErr: denied,
				AgesErr: denied, CanariesErr: denied}
		}, status.Down, status.Unknown, never, never, "", "connection refused; AccessDenied: no; AccessDenied: no"},
	} {
		r := well()
		if c.change != nil {
			c.change(&r)
		}
		got := Sight("shop", &r)
		spoken := func(d *time.Duration) string {
			if d == nil {
				return never
			}
			return d.String()
		}
		if got.Name != "eu-west-1" || got.Ingest != c.ingest || got.Delivery != c.delivery ||
			spoken(got.Oldest) != c.oldest ||
			spoken(got.CanaryAge) != c.canary || strings.Join(got.Alarms, " ") != c.alarms ||
			!strings.Contains(got.Failure, c.failure) || (got.Failure == "") != (c.failure == "") {
			t.Errorf("%s: %s/%s, oldest %s, canary %s, %v, %q\nwant %s/%s, %s, %s, %s, %q", name, got.Ingest, got.Delivery,
				spoken(got.Oldest), spoken(got.CanaryAge), got.Alarms, got.Failure, c.ingest, c.delivery, c.oldest, c.canary,
				c.alarms, c.failure)
		}
	}
}
