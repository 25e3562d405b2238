package regions

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/operator"
)

// A place is what a fake account has in a region.
type place struct {
	outputs map[string]string // nil: there is no stack
	mark    operator.Mark
	markErr error
	states  map[string]string // of alarms, by short name
	oldest  *time.Duration
	healthy *bool
	down    bool // nothing answers
	blind   bool // CloudWatch does not answer
}

// A cloud is a fake account.
type cloud struct {
	home      string
	callerErr error
	mu        sync.Mutex
	places    map[string]*place
}

var errDown = errors.New("can't be reached")

func (c *cloud) at(region string) (*place, error) {
	p := c.places[region]
	if p == nil || p.down {
		return nil, errDown
	}
	return p, nil
}

func (c *cloud) Home() string { return c.home }

func (c *cloud) Outputs(_ context.Context, region string) (map[string]string, error) {
	p, err := c.at(region)
	if err == nil && p.outputs == nil {
		err = ErrNoStack
	}
	if err != nil {
		return nil, err
	}
	return p.outputs, nil
}

func (c *cloud) Mark(_ context.Context, region string) (operator.Mark, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, err := c.at(region)
	if err != nil {
		return operator.Mark{}, err
	}
	return p.mark, p.markErr
}

func (c *cloud) SetMark(_ context.Context, region string, m operator.Mark) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, err := c.at(region)
	if err == nil {
		p.mark = m
	}
	return err
}

func (c *cloud) RemoveMark(_ context.Context, region string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, err := c.at(region)
	if err == nil {
		p.mark, p.markErr = operator.Mark{}, nil
	}
	return err
}

func (c *cloud) Alarms(_ context.Context, region string, names []string) (map[string]string, error) {
	p, err := c.at(region)
	if err == nil && p.blind {
		err = errDown
	}
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, name := range names {
		if state := p.states[strings.TrimPrefix(name, "shop-")]; state != "" {
			found[name] = state
		}
	}
	return found, nil
}

func (c *cloud) OldestAge(_ context.Context, region string) (*time.Duration, error) {
	p, err := c.at(region)
	if err != nil {
		return nil, err
	}
	return p.oldest, nil
}

func (c *cloud) Healthy(_ context.Context, region, check string) (*bool, error) {
	p, err := c.at(region)
	if err != nil {
		return nil, err
	}
	if check != "check-of-"+region {
		return nil, errors.New("another health check")
	}
	return p.healthy, nil
}

func (c *cloud) Caller(context.Context) (string, error) {
	if c.callerErr != nil {
		return "", c.callerErr
	}
	return "arn:aws:iam::1:user/ada", nil
}

// shop is a pipeline with two regions that are well, which a test changes.
func shop(t *testing.T, change func(first, second *place, c *cloud)) (*Pipeline, *cloud) {
	t.Helper()
	names, err := topology.NewNames("shop")
	if err != nil {
		t.Fatal(err)
	}
	c := &cloud{home: "us-east-1", places: map[string]*place{}}
	for _, region := range []string{"us-east-1", "eu-west-1"} {
		yes, age := true, 2*time.Second
		c.places[region] = &place{healthy: &yes, oldest: &age,
			outputs: map[string]string{topology.OutputHealthCheck: "check-of-" + region,
				topology.OutputSettings: `{"regions":"us-east-1,eu-west-1","canary":"true","ingestEndpoint":"http-api"}`},
			states: map[string]string{"ingest-down": "OK", "delivery-down": "OK"}}
		for _, a := range topology.Default().Routing {
			c.places[region].states[strings.TrimPrefix(a.Name, "spillway-")] = "OK"
		}
	}
	if change != nil {
		change(c.places["us-east-1"], c.places["eu-west-1"], c)
	}
	return &Pipeline{Names: names, Cloud: c}, c
}

var since = time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC)

func drainedBy(by string) operator.Mark {
	return operator.Mark{Since: since, By: by, Reason: "AWS maintenance"}
}

func no() *bool { return new(bool) }

func TestARegionTakesTrafficUnlessSomethingSaysOtherwise(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(second *place)
		traffic Traffic
		why     string
		route53 string
		problem string
	}{
		"all is well": {func(*place) {}, Takes, "", Healthy, ""},
		"drained":     {func(p *place) { p.mark = drainedBy("bob") }, Avoided, "drained", Healthy, ""},
		"its canary fails": {func(p *place) { p.states["route-ingest"] = "ALARM" }, Avoided, "route-ingest fires",
			Healthy, ""},
		"two alarms": {func(p *place) { p.states["route-ingest"], p.states["drained"] = "ALARM", "ALARM" },
			Avoided, "drained and route-ingest fire", Healthy, ""},
		"no data": {func(p *place) { p.states["route-ingest"], p.states["drained"] = stateNoData, stateNoData },
			Takes, "", Healthy, "no data for drained and route-ingest: Route 53 keeps what it knew last"},
		"Route 53 knows more": {func(p *place) { p.healthy = no() }, Avoided, "Route 53 has it as unhealthy",
			Unhealthy, ""},
		"Route 53 knows nothing": {func(p *place) { p.healthy = nil }, Takes, "", "not known", ""},
		"no domain": {func(p *place) { delete(p.outputs, topology.OutputHealthCheck) }, Takes, "",
			NoHealthCheck, ""},
		"an older version is deployed": {func(p *place) { delete(p.states, "drained") }, Takes, "", Healthy,
			"has no alarm shop-drained: deploy it again"},
		"no stack": {func(p *place) { p.outputs = nil }, Takes, "", "not known",
			"there is no stack shop-eu-west-1"},
		"it is down": {func(p *place) { p.down = true }, Unknown, "its alarms could not be read",
			"not known", "can't be reached"},
		"its mark can't be read": {func(p *place) { p.markErr = errDown }, Unknown,
			"whether it is drained could not be read", Healthy, "can't be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := shop(t, func(_, second *place, _ *cloud) { c.change(second) })
			all, err := p.Read(t.Context())
			if err != nil || len(all) != 2 || all[0].Name != "us-east-1" || all[0].Traffic != Takes {
				t.Fatalf("%+v, %v", all, err)
			}
			r := all[1]
			problems := strings.Join(r.Problems, "\n")
			if r.Traffic != c.traffic || r.Why != c.why || r.Route53 != c.route53 || !strings.Contains(problems, c.problem) ||
				(problems == "") != (c.problem == "") {
				t.Errorf("%+v, want traffic %s, %q, Route 53 %s, a problem like %q", r, c.traffic, c.why, c.route53, c.problem)
			}
		})
	}
}

func TestWithoutThePipelinesRegionsNothingIsDone(t *testing.T) {
	for want, change := range map[string]func(first, second *place, c *cloud){
		"there is no stack shop-eu-central-1 in eu-central-1: set AWS_REGION": func(_, _ *place, c *cloud) {
			c.home, c.places["eu-central-1"] = "eu-central-1", &place{}
		},
		"if us-east-1 is down, set AWS_REGION to another region": func(first, _ *place, _ *cloud) { first.down = true },
		"has no settings in its output Settings": func(first, _ *place,
			_ *cloud) {
			delete(first.outputs, topology.OutputSettings)
		},
		"has not its own region": func(first, _ *place, _ *cloud) {
			first.outputs[topology.OutputSettings] = `{"regions":"us-east-2… (SHA-256 01234567)"}`
		},
		"deployed without an ingest endpoint or without a canary": func(first, _ *place, _ *cloud) {
			first.outputs[topology.OutputSettings] = `{"regions":"us-east-1","canary":"false","ingestEndpoint":"http-api"}`
		},
	} {
		p, c := shop(t, change)
		_, err := p.Read(t.Context())
		_, drained := p.PrepareDrain(t.Context(), "us-east-1")
		_, _, restored := p.Restore(t.Context(), "us-east-1")
		for _, err := range []error{err, drained, restored} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want an error with %q", err, want)
			}
		}
		if c.places["us-east-1"].mark.IsSet() {
			t.Error("a mark was written")
		}
	}
}

func TestADrainLeavesAMarkThatSaysWhoAndWhy(t *testing.T) {
	for _, c := range []struct {
		callerErr error
		by        string
	}{{nil, "arn:aws:iam::1:user/ada"}, {errDown, ""}} {
		p, account := shop(t, func(_, _ *place, account *cloud) { account.callerErr = c.callerErr })
		d, err := p.PrepareDrain(t.Context(), "eu-west-1")
		if err != nil || d.Last() != "" || !d.HasHealthCheck() || d.Unheard() {
			t.Fatalf("%v, last: %q", err, d.Last())
		}
		if account.places["eu-west-1"].mark.IsSet() {
			t.Error("it is drained before anybody has confirmed")
		}
		m, err := d.Run(t.Context(), since, "AWS maintenance")
		if err != nil || m != drainedBy(c.by) || account.places["eu-west-1"].mark != m ||
			account.places["us-east-1"].mark.IsSet() {
			t.Errorf("%+v, %v", m, err)
		}
		was, firing, err := p.Restore(t.Context(), "eu-west-1")
		if err != nil || was != m || firing != nil || account.places["eu-west-1"].mark.IsSet() {
			t.Errorf("restored: %+v, %v, %v", was, firing, err)
		}
	}
}

func TestTheLastRegionThatTakesTrafficIsSaidToBe(t *testing.T) {
	for want, change := range map[string]func(first, second *place, c *cloud){
		"": func(_, _ *place, _ *cloud) {},
		"eu-west-1 is the last region that takes traffic (us-east-1: drained)": func(first, _ *place, _ *cloud) {
			first.mark = drainedBy("bob")
		},
		"eu-west-1 is the last region that takes traffic (us-east-1: route-gone fires)": func(first, _ *place, _ *cloud) {
			first.states["route-gone"] = "ALARM"
		},
		"eu-west-1 is the last region that takes traffic (us-east-1: its alarms could not be read)": func(first, _ *place,
			c *cloud) {
			c.home, first.down = "eu-west-1", true
		},
		"eu-west-1 is the pipeline's only region": func(_, second *place, c *cloud) {
			c.home = "eu-west-1"
			second.outputs[topology.OutputSettings] = `{"regions":"eu-west-1","canary":"true"}`
		},
	} {
		p, _ := shop(t, change)
		d, err := p.PrepareDrain(t.Context(), "eu-west-1")
		if err != nil || d.Last() != want {
			t.Errorf("%q, %v, want %q", d.Last(), err, want)
		}
	}
}

func TestWhatCantBeDrainedOrRestoredIsOneClearLine(t *testing.T) {
	for _, c := range []struct {
		name           string
		region         string
		change         func(second *place)
		drain, restore string
	}{
		{"no region of the pipeline", "eu-west-2", func(*place) {},
			`the pipeline shop has no region "eu-west-2" (it has: us-east-1, eu-west-1)`, `has no region "eu-west-2"`},
		{"drained twice", "eu-west-1", func(p *place) { p.mark = drainedBy("bob") },
			"eu-west-1 is drained already, since 2026-11-01 10:00 UTC by bob: AWS maintenance", ""},
		{"not drained", "eu-west-1", func(*place) {}, "", "eu-west-1 is not drained"},
		{"it is down", "eu-west-1", func(p *place) { p.down = true }, "eu-west-1 can't be drained: can't be reached",
			"can't be reached"},
		{"an older version", "eu-west-1", func(p *place) { delete(p.states, "drained") },
			"it has no alarm shop-drained, which tells Route 53: deploy it again", "is not drained"},
		{"a broken mark", "eu-west-1", func(p *place) { p.markErr = ErrBroken }, "restore the region to remove it", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for verb, want := range map[string]string{"drain": c.drain, "restore": c.restore} {
				p, account := shop(t, func(_, second *place, _ *cloud) { c.change(second) })
				var err error
				if verb == "drain" {
					_, err = p.PrepareDrain(t.Context(), c.region)
				} else {
					_, _, err = p.Restore(t.Context(), c.region)
				}
				if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v, want an error with %q", verb, err, want)
				}
				if verb == "restore" && want == "" && account.places["eu-west-1"].markErr != nil {
					t.Error("the broken mark is still there")
				}
			}
		})
	}
}

func TestARegionIsDrainedWhoseAlarmsCantBeRead(t *testing.T) {
	p, account := shop(t, func(_, second *place, _ *cloud) { second.blind = true })
	d, err := p.PrepareDrain(t.Context(), "eu-west-1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Run(t.Context(), since, ""); err != nil || !account.places["eu-west-1"].mark.IsSet() {
		t.Errorf("%v", err)
	}
}

func TestARestoredRegionThatFailsIsSaidToBeLeftOut(t *testing.T) {
	p, _ := shop(t, func(_, second *place, _ *cloud) {
		second.mark = drainedBy("bob")
		second.states["drained"], second.states["route-ingest"] = "ALARM", "ALARM"
	})
	if _, firing, err := p.Restore(t.Context(), "eu-west-1"); err != nil || strings.Join(firing, " ") != "route-ingest" {
		t.Errorf("%v, %v", firing, err)
	}
}

func TestTheTableSaysWhatEachRegionDoesAndTheNotesWhy(t *testing.T) {
	p, _ := shop(t, func(first, second *place, _ *cloud) {
		first.states["ingest-down"], first.states["route-ingest"], first.oldest = "ALARM", "ALARM", nil
		second.mark = drainedBy("bob\x1b[2J")
		second.states["delivery-down"] = "INSUFFICIENT_DATA"
	})
	all, err := p.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := Print(&out, all); err != nil {
		t.Fatal(err)
	}
	want := `region      takes traffic            route 53   ingest   delivery   oldest event
us-east-1   no: route-ingest fires   healthy    down     ok         none seen
eu-west-1   no: drained              healthy    ok       no data    2s

eu-west-1 is drained since 2026-11-01 10:00 UTC by bob [2J: AWS maintenance
No region is known to take traffic. While none is healthy, Route 53 answers with all of them.
`
	if out.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", &out, want)
	}
	data, err := json.Marshal(all[1])
	if err != nil || !strings.HasPrefix(string(data),
		`{"region":"eu-west-1","traffic":"no","why":"drained","drained":{"since":"2026-11-01T10:00:00Z"`) {
		t.Errorf("%s, %v", data, err)
	}
}
