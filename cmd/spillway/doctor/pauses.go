package doctor

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/operator"
	"github.com/spillwayhq/spillway/shared/ssm"
)

// A pauses is what a person has paused by hand, as the parameters say.
type pauses struct {
	delivery read[operator.Mark]
	keys     read[operator.Keys]
}

// readPauses reads the parameters, which exist only while something is paused.
func readPauses(ctx context.Context, c aws.Config, n topology.Names) (p pauses) {
	text := func(parameter string) read[string] {
		return call(ctx, "ssm:GetParameter", func(ctx context.Context) (string, error) {
			value, err := ssm.New(c).GetParameter(ctx, n.Parameter(parameter), false)
			if ssm.NotFound(err) {
				return "", nil
			}
			return value.Text, err
		})
	}
	p.delivery = parsed(text(topology.PausedParameter), n.Parameter(topology.PausedParameter), operator.Parse)
	p.keys = parsed(text(topology.PausedKeysParameter), n.Parameter(topology.PausedKeysParameter), operator.ParseKeys)
	return p
}

func parsed[T any](r read[string], parameter string, parse func([]byte) (T, error)) read[T] {
	p := read[T]{err: r.err, permission: r.permission}
	if r.err != nil {
		return p
	}
	if p.value, p.err = parse([]byte(r.value)); p.err != nil {
		p.err = fmt.Errorf("the parameter %s holds something else: %w; correct it, or delete it", parameter, p.err)
	}
	return p
}

// The checks of what is paused.
const (
	checkPaused     = "paused"
	checkPausedKeys = "paused write keys"
)

// judgeDelivery says what is paused, and with that if the event sources are as they should be.
// found is what was found about them on their own.
func judgeDelivery(found []sourceFinding, sources read[[]eventSource], p *pauses, flags string) []Finding {
	known := sources.err == nil && len(sources.value) > 0
	enabled := known && slices.ContainsFunc(sources.value, func(s eventSource) bool { return s.State == "Enabled" })
	mark := p.delivery.value
	var paused []Finding
	switch {
	case p.delivery.err != nil:
		paused = []Finding{p.delivery.unknown(checkPaused)}
	case mark.IsSet() && enabled:
		paused = []Finding{finding(Failed, checkPaused, "spillway resume"+flags+", or pause it again",
			"delivery is marked as paused %s, and an event source of it is not disabled: its alarms tell nobody", mark)}
	case mark.IsSet():
		paused = []Finding{judgeMark(mark, flags)}
	}
	var all []Finding
	for _, f := range found {
		switch {
		case f.disabled && mark.IsSet() && !enabled:
			f.Finding = finding(Warning, f.Check, "nothing: the line about the pause says why", "it is disabled")
		case f.disabled && !mark.IsSet() && p.delivery.err == nil:
			f.Do = "spillway resume" + flags + ", unless somebody has disabled it for a reason: there is no mark of a pause"
		}
		all = append(all, f.Finding)
	}
	return slices.Concat(all, paused, judgePausedKeys(p.keys, flags))
}

func judgeMark(m operator.Mark, flags string) Finding {
	return finding(Warning, checkPaused, "spillway resume"+flags+", once the reason is gone",
		"delivery has been paused %s", m)
}

// judgePausedKeys says which write keys are paused; nothing if none is.
func judgePausedKeys(r read[operator.Keys], flags string) (findings []Finding) {
	if r.err != nil {
		return []Finding{r.unknown(checkPausedKeys)}
	}
	for _, id := range slices.Sorted(maps.Keys(r.value.Paused())) {
		findings = append(findings, finding(Warning, "write key "+id, "spillway resume"+flags+" --write-key "+id+
			", once the reason is gone", "has been paused %s", r.value[id]))
	}
	return findings
}

// judgeLocalPauses says what is paused in `up`.
func judgeLocalPauses(s *local.Status, flags string) (findings []Finding) {
	if flags != "" {
		flags = " " + flags
	}
	if s.Paused.IsSet() {
		findings = append(findings, judgeMark(s.Paused, flags))
	}
	return append(findings, judgePausedKeys(read[operator.Keys]{value: s.PausedKeys}, flags)...)
}
