package pausing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/operator"
	"github.com/spillwayhq/spillway/shared/signed"
)

const (
	// patience is how long Lambda is waited for: it says that a change takes "a few minutes" at
	// most, and mostly takes half of one.
	patience = 2 * time.Minute
	pollEach = 2 * time.Second
	// restoreWithin bounds the call that takes back a mark, also when the program is interrupted.
	restoreWithin = 10 * time.Second
)

// Deployed is a pipeline on AWS, in the region of the configuration.
type Deployed struct {
	Config aws.Config
	Names  topology.Names
}

// Pause implements Pipeline.
func (d *Deployed) Pause(ctx context.Context, o Order) (Outcome, error) {
	mark, err := operator.New(time.Now(), "", o.Reason)
	if err != nil {
		return Outcome{}, err
	}
	if by, err := deployed.Caller(ctx, d.Config); err == nil { // it must be paused, whoever does it
		mark, _ = operator.New(mark.Since, by, o.Reason)
	}
	sources, err := d.sources(ctx) // also for a key: a mark where no pipeline is would pause nothing
	switch {
	case err != nil:
		return Outcome{}, err
	case o.Key != "":
		return d.pauseKey(ctx, o.Key, mark)
	}
	return d.pauseDelivery(ctx, sources, mark)
}

// Resume implements Pipeline.
func (d *Deployed) Resume(ctx context.Context, o Order) (Outcome, error) {
	sources, err := d.sources(ctx)
	switch {
	case err != nil:
		return Outcome{}, err
	case o.Key != "":
		return d.resumeKey(ctx, o.Key)
	}
	return d.resumeDelivery(ctx, sources)
}

// pauseDelivery makes the mark, and then disables the event source. If Lambda does not take that,
// it takes back the mark: nobody may read that delivery is paused while it goes on.
func (d *Deployed) pauseDelivery(ctx context.Context, sources []signed.EventSource, mark operator.Mark) (Outcome,
	error) {
	parameter := d.Names.Parameter(topology.PausedParameter)
	was, err := d.mark(ctx, parameter)
	if err != nil && !errors.Is(err, errBroken) {
		return Outcome{}, err
	}
	if was.IsSet() {
		mark = was
	} else if err := deployed.WriteParameter(ctx, d.Config, parameter, string(mark.Document())); err != nil {
		return Outcome{}, err
	}
	changed, note, err := d.enable(ctx, sources, false)
	if err != nil {
		if !was.IsSet() && !changed {
			err = errors.Join(err, d.takeBack(ctx, parameter))
		}
		return Outcome{}, err
	}
	if was.IsSet() && changed && note == "" {
		note = "Its event source was enabled all the same, and is disabled now."
	}
	return Outcome{Mark: mark, Already: was.IsSet() && !changed, Note: note}, nil
}

// resumeDelivery enables the event source, and then removes the mark.
func (d *Deployed) resumeDelivery(ctx context.Context, sources []signed.EventSource) (Outcome, error) {
	parameter := d.Names.Parameter(topology.PausedParameter)
	was, err := d.mark(ctx, parameter)
	broken := errors.Is(err, errBroken)
	if err != nil && !broken {
		return Outcome{}, err
	}
	changed, note, err := d.enable(ctx, sources, true)
	if err != nil {
		return Outcome{}, err
	}
	if was.IsSet() || broken {
		if err := deployed.RemoveParameter(ctx, d.Config, parameter); err != nil {
			return Outcome{}, fmt.Errorf("delivery goes on, but alarms and people still take it for paused: %w; run this again",
				err)
		}
	}
	if changed && !was.IsSet() && !broken && note == "" {
		note = "Somebody had disabled its event source by hand, without a mark."
	}
	return Outcome{Mark: was, Already: !changed && !was.IsSet() && !broken, Note: note}, nil
}

// pauseKey adds a key to the list. SSM has no write that depends on the version, so of two people
// who switch keys in the same second one may undo what the other did; `spillway doctor` shows it.
func (d *Deployed) pauseKey(ctx context.Context, key string, mark operator.Mark) (Outcome, error) {
	keys, err := d.keys(ctx)
	if err != nil {
		return Outcome{}, err
	}
	if was := keys.Paused()[key]; was.IsSet() {
		return Outcome{Mark: was, Already: true}, nil
	}
	return Outcome{Mark: mark}, d.putKeys(ctx, keys.Pause(key, mark))
}

// resumeKey ends the pause of a key, which stays in the list for a while: see operator.Keys.
func (d *Deployed) resumeKey(ctx context.Context, key string) (Outcome, error) {
	keys, err := d.keys(ctx)
	if err != nil {
		return Outcome{}, err
	}
	was := keys.Paused()[key]
	if !was.IsSet() {
		return Outcome{Already: true}, nil
	}
	return Outcome{Mark: was}, d.putKeys(ctx, keys.Resume(key, time.Now()))
}

// sources finds the event sources that feed the deliver function from the events queue and from the
// bulk queue, which an earlier version has not.
func (d *Deployed) sources(ctx context.Context) ([]signed.EventSource, error) {
	all, err := signed.EventSources(ctx, d.Config, d.Names.DeliverFunction)
	if answer := (smithy.APIError)(nil); errors.As(err, &answer) && answer.ErrorCode() == "ResourceNotFoundException" {
		return nil, fmt.Errorf("there is no pipeline %s in %s: the function %s does not exist (a local pipeline is found by "+
			"--queue-url)", d.Names.Pipeline, d.Config.Region, d.Names.DeliverFunction)
	}
	if err != nil {
		return nil, deployed.Explain(err, "find the event source of "+d.Names.DeliverFunction,
			"lambda:ListEventSourceMappings")
	}
	found := deployed.SourcesOf(all, d.Names.EventsQueue)
	if len(found) == 0 {
		return nil, fmt.Errorf("no event source feeds the function %s from the queue %s in %s: deploy the pipeline again",
			d.Names.DeliverFunction, d.Names.EventsQueue, d.Config.Region)
	}
	return append(found, deployed.SourcesOf(all, d.Names.BulkQueue)...), nil
}

// enable enables or disables event sources, and waits until Lambda has done it. changed is false if
// they were so before; note says what Lambda has not finished.
func (d *Deployed) enable(ctx context.Context, sources []signed.EventSource, enabled bool) (changed bool, note string,
	err error) {
	want := "Disabled"
	if enabled {
		want = "Enabled"
	}
	until := time.Now().Add(patience)
	asked := make([]bool, len(sources))
	for i, s := range sources { // all at first: each takes Lambda half a minute
		if s.State == want {
			continue
		}
		if asked[i], err = d.ask(ctx, s.UUID, enabled); err != nil {
			return changed, "", err
		}
		changed = changed || asked[i]
	}
	for i, s := range sources {
		asked := asked[i]
		for s.State != want {
			if !asked {
				asked, err = d.ask(ctx, s.UUID, enabled)
				changed = changed || asked
			}
			switch {
			case err != nil:
				return changed, "", err
			case time.Now().After(until) && !asked:
				return changed, "", fmt.Errorf("the event source %s has been in the state %s for %v: run this again later", s.UUID,
					s.State, patience)
			case time.Now().After(until):
				return changed, fmt.Sprintf("Lambda still says that its event source is %s: spillway doctor says when it is %s.",
					s.State, want), nil
			}
			if err := sleep(ctx, pollEach); err != nil {
				return changed, "", err
			}
			if s, err = signed.EventSourceOf(ctx, d.Config, s.UUID); err != nil {
				return changed, "", deployed.Explain(err, "read the event source of "+d.Names.DeliverFunction,
					"lambda:GetEventSourceMapping")
			}
		}
	}
	return changed, "", nil
}

// ask asks Lambda to enable or disable an event source; false: it is being changed, and may be
// asked again later.
func (d *Deployed) ask(ctx context.Context, uuid string, enabled bool) (asked bool, err error) {
	doing := "disable"
	if enabled {
		doing = "enable"
	}
	_, err = signed.EnableEventSource(ctx, d.Config, uuid, enabled)
	if answer := (smithy.APIError)(nil); errors.As(err, &answer) && answer.ErrorCode() == "ResourceInUseException" {
		return false, nil
	}
	return err == nil, deployed.Explain(err, doing+" the event source of "+d.Names.DeliverFunction,
		"lambda:UpdateEventSourceMapping")
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// errBroken says that a parameter holds something that is no mark.
var errBroken = errors.New("correct it, or delete the parameter")

// mark reads a parameter's mark; zero: there is none.
func (d *Deployed) mark(ctx context.Context, parameter string) (operator.Mark, error) {
	text, err := deployed.ReadParameter(ctx, d.Config, parameter)
	if err != nil {
		return operator.Mark{}, err
	}
	m, err := operator.Parse([]byte(text))
	if err != nil {
		return m, fmt.Errorf("the parameter %s in %s: %w: %w", parameter, d.Config.Region, err, errBroken)
	}
	return m, nil
}

// keys reads the write keys that are paused.
func (d *Deployed) keys(ctx context.Context) (operator.Keys, error) {
	parameter := d.Names.Parameter(topology.PausedKeysParameter)
	text, err := deployed.ReadParameter(ctx, d.Config, parameter)
	if err != nil {
		return nil, err
	}
	keys, err := operator.ParseKeys([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("the parameter %s in %s: %w: %w", parameter, d.Config.Region, err, errBroken)
	}
	return keys, nil
}

func (d *Deployed) putKeys(ctx context.Context, keys operator.Keys) error {
	document, err := keys.Document()
	if err != nil {
		return err
	}
	return deployed.WriteParameter(ctx, d.Config, d.Names.Parameter(topology.PausedKeysParameter), string(document))
}

// takeBack removes a mark of a pause that did not come, also after ctx has ended.
func (d *Deployed) takeBack(ctx context.Context, parameter string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreWithin)
	defer cancel()
	if err := deployed.RemoveParameter(ctx, d.Config, parameter); err != nil {
		return fmt.Errorf("alarms and people now take delivery for paused: %w", err)
	}
	return nil
}
