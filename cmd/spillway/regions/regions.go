// Package regions shows which regions of a pipeline on AWS take traffic, and takes one out or back
// by hand.
//
// A region is drained by a mark in its SSM, which its canary's function reads every minute and
// writes as a metric. Route 53 reads that metric by the alarm NAME-drained. So the switch needs
// nothing but the region itself, and works without a permission for Route 53. What one region can't
// answer is said of that region, and keeps nothing of the others from being shown: this is looked
// at when a region is down.
package regions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/operator"
)

var (
	// ErrNoStack says that a region has no stack of the pipeline.
	ErrNoStack = errors.New("there is no stack")
	// ErrBroken says that a region's mark can't be read, because it is none.
	ErrBroken = errors.New("restore the region to remove it")
)

// Cloud is what the package asks of AWS. Its errors say what to do. It is safe for concurrent use.
type Cloud interface {
	// Home is the region that is asked for the pipeline's regions.
	Home() string
	// Outputs are those of the pipeline's stack in a region; ErrNoStack: it has none.
	Outputs(ctx context.Context, region string) (map[string]string, error)
	// Mark reads the mark that the region is drained; the zero Mark: it is not. ErrBroken: there is
	// something that is no mark.
	Mark(ctx context.Context, region string) (operator.Mark, error)
	// SetMark drains the region, and RemoveMark ends that.
	SetMark(ctx context.Context, region string, m operator.Mark) error
	RemoveMark(ctx context.Context, region string) error
	// Alarms are the states of alarms by name, as CloudWatch calls them. One that does not exist is
	// not there.
	Alarms(ctx context.Context, region string, names []string) (map[string]string, error)
	// OldestAge is the age of the oldest undelivered event, by the deliver function; nil: it has
	// seen none in the last minutes.
	OldestAge(ctx context.Context, region string) (*time.Duration, error)
	// Healthy is what Route 53 has of a health check, by its ID; nil: nothing in the last minutes.
	Healthy(ctx context.Context, region, check string) (*bool, error)
	// Caller is who runs the command.
	Caller(ctx context.Context) (string, error)
}

// Traffic says whether Route 53 answers with a region.
type Traffic string

// The values of Traffic.
const (
	Takes   Traffic = "yes"
	Avoided Traffic = "no"
	Unknown Traffic = "not known"
)

// A Region is what is known of one.
type Region struct {
	Name    string  `json:"region"`
	Traffic Traffic `json:"traffic"`
	Why     string  `json:"why,omitempty"` // of a region that takes none, or of which it is not known

	Drained *operator.Mark `json:"drained,omitempty"` // nil: it is not, or that is not known
	// States of the alarms that Route 53 reads, and of ingest-down and delivery-down, by their
	// short names: OK, ALARM, INSUFFICIENT_DATA; one that is not there does not exist, or could not
	// be read.
	Routing   map[string]string `json:"routing"`
	Composite map[string]string `json:"alarms"`
	// OldestSeconds is the age of the oldest undelivered event; nil: none waits, or it is not
	// known.
	OldestSeconds *float64 `json:"oldest_seconds,omitempty"`
	// Route53 is what Route 53's health check of the region's records says: healthy or unhealthy;
	// none: there is no health check; "not known": it could not be read, or says nothing.
	Route53 string `json:"route53"`
	// Problems are what could not be read, and why: a sentence each.
	Problems []string `json:"problems,omitempty"`

	markRead bool // whether Drained is known
}

// The values of Region.Route53 beside "not known".
const (
	Healthy       = "healthy"
	Unhealthy     = "unhealthy"
	NoHealthCheck = "none"
)

// A Pipeline is one whose regions are shown and switched.
type Pipeline struct {
	Names topology.Names
	Cloud Cloud
}

// Regions are the names of the pipeline's regions, by the settings of its stack in the home region.
func (p *Pipeline) Regions(ctx context.Context) ([]string, error) {
	home := p.Cloud.Home()
	outputs, err := p.Cloud.Outputs(ctx, home)
	switch {
	case errors.Is(err, ErrNoStack):
		return nil, fmt.Errorf("%w %s in %s: set AWS_REGION to a region of the pipeline, or give its --name", ErrNoStack,
			p.Names.Stack(home), home)
	case err != nil:
		return nil, fmt.Errorf("%w (if %s is down, set AWS_REGION to another region of the pipeline)", err, home)
	}
	var s map[string]string
	if err := json.Unmarshal([]byte(outputs[topology.OutputSettings]), &s); err != nil {
		return nil, fmt.Errorf("stack %s has no settings in its output %s, which tell the pipeline's regions: deploy it "+
			"again, with its settings and this version", p.Names.Stack(home), topology.OutputSettings)
	}
	regions := strings.Split(s["regions"], ",")
	if !slices.Contains(regions, home) {
		return nil, fmt.Errorf("stack %s: its setting regions has not its own region, is %q: deploy it again",
			p.Names.Stack(home), s["regions"])
	}
	if s["canary"] == "false" || s["ingestEndpoint"] == "none" {
		return nil, fmt.Errorf("the pipeline %s is deployed without an ingest endpoint or without a canary "+
			"(ingestEndpoint=%s, canary=%s): nothing leads traffic to its regions or away from them", p.Names.Pipeline,
			s["ingestEndpoint"], s["canary"])
	}
	return regions, nil
}

// Read returns what is known of each region, in the order of the settings.
func (p *Pipeline) Read(ctx context.Context) ([]Region, error) {
	names, err := p.Regions(ctx)
	if err != nil {
		return nil, err
	}
	return p.read(ctx, names), nil
}

func (p *Pipeline) read(ctx context.Context, names []string) []Region {
	regions := make([]Region, len(names))
	var reading sync.WaitGroup
	for i, name := range names {
		reading.Go(func() { regions[i] = p.region(ctx, name) })
	}
	reading.Wait()
	return regions
}

// region reads one region: all parts at the same time, because a region that is down answers none
// of them before the time is over.
func (p *Pipeline) region(ctx context.Context, name string) Region {
	r := Region{Name: name, Route53: string(Unknown), Routing: map[string]string{}, Composite: map[string]string{}}
	errs := make([]error, 4)
	var reading sync.WaitGroup
	reading.Go(func() { errs[0] = p.readMark(ctx, &r) })
	reading.Go(func() { errs[1] = p.readAlarms(ctx, &r) })
	reading.Go(func() { errs[2] = p.readCheck(ctx, &r) })
	reading.Go(func() {
		age, err := p.Cloud.OldestAge(ctx, name)
		if errs[3] = err; age != nil {
			seconds := age.Seconds()
			r.OldestSeconds = &seconds
		}
	})
	reading.Wait()
	for _, err := range errs {
		if err != nil {
			r.Problems = append(r.Problems, err.Error())
		}
	}
	if silent := r.in(stateNoData); silent != nil {
		r.Problems = append(r.Problems, fmt.Sprintf("no data for %s: Route 53 keeps what it knew last; look whether the "+
			"canary's function runs", strings.Join(silent, " and ")))
	}
	r.Traffic, r.Why = r.judge()
	return r
}

func (p *Pipeline) readMark(ctx context.Context, r *Region) error {
	m, err := p.Cloud.Mark(ctx, r.Name)
	if err != nil {
		return err
	}
	if r.markRead = true; m.IsSet() {
		r.Drained = &m
	}
	return nil
}

// downs are the composite alarms that say what people meet.
var downs = [...]string{"ingest-down", "delivery-down"}

func (p *Pipeline) readAlarms(ctx context.Context, r *Region) error {
	routing := p.routing()
	var all []string
	for _, short := range append(slices.Clone(routing), downs[:]...) {
		all = append(all, p.Names.Alarm(short))
	}
	states, err := p.Cloud.Alarms(ctx, r.Name, all)
	if err != nil {
		return err
	}
	var missing []string
	note := func(into map[string]string, short string) {
		state, exists := states[p.Names.Alarm(short)]
		if !exists {
			missing = append(missing, p.Names.Alarm(short))
			return
		}
		into[short] = state
	}
	for _, short := range routing {
		note(r.Routing, short)
	}
	for _, short := range downs {
		note(r.Composite, short)
	}
	if missing != nil {
		return fmt.Errorf("the region has no alarm %s: deploy it again, with its settings and this version",
			strings.Join(missing, ", "))
	}
	return nil
}

// routing are the short names of the alarms that Route 53 reads.
func (p *Pipeline) routing() []string {
	t := topology.New(topology.Options{Names: p.Names})
	names := make([]string, len(t.Routing))
	for i := range t.Routing {
		names[i] = strings.TrimPrefix(t.Routing[i].Name, p.Names.Alarm(""))
	}
	return names
}

func (p *Pipeline) readCheck(ctx context.Context, r *Region) error {
	outputs, err := p.Cloud.Outputs(ctx, r.Name)
	if errors.Is(err, ErrNoStack) {
		return fmt.Errorf("%w %s: the region is not deployed, or no more", ErrNoStack, p.Names.Stack(r.Name))
	}
	if err != nil {
		return err
	}
	check := outputs[topology.OutputHealthCheck]
	if check == "" {
		r.Route53 = NoHealthCheck
		return nil
	}
	healthy, err := p.Cloud.Healthy(ctx, r.Name, check)
	if healthy != nil {
		r.Route53 = map[bool]string{true: Healthy, false: Unhealthy}[*healthy]
	}
	return err
}

// judge says whether Route 53 answers with the region, or will within the next minutes.
func (r *Region) judge() (t Traffic, why string) {
	if r.Drained != nil {
		return Avoided, "drained"
	}
	firing := r.in(stateAlarm)
	switch {
	case len(firing) == 1:
		return Avoided, firing[0] + " fires"
	case firing != nil:
		return Avoided, strings.Join(firing, " and ") + " fire"
	case r.Route53 == Unhealthy:
		return Avoided, "Route 53 has it as unhealthy"
	case len(r.Routing) == 0:
		return Unknown, "its alarms could not be read"
	case !r.markRead:
		return Unknown, "whether it is drained could not be read"
	}
	return Takes, ""
}

// in are the short names of the alarms that Route 53 reads and that are in a state, sorted; nil: none.
func (r *Region) in(state string) (names []string) {
	for name, is := range r.Routing {
		if is == state {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// CloudWatch's names of the states of an alarm that fires, and of one that can't tell.
const (
	stateAlarm  = "ALARM"
	stateNoData = "INSUFFICIENT_DATA"
)
