package oracle

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
)

// effect is what Segment finds in an event: its own context and integrations merged with those of
// its batch. Each event must have exactly its own.
type effect struct{ Context, Integrations any }

// common is what the events of a batch share, as JSON; empty: nothing.
type common struct{ context, integrations string }

// effectOf merges as Segment does: the event's own member wins, and null counts as absent.
func effectOf(event []byte, c common) (effect, error) {
	var own, batch effect
	if err := json.Unmarshal(event, &own); err != nil {
		return own, fmt.Errorf("read an event: %w", err)
	}
	for text, into := range map[string]*any{c.context: &batch.Context, c.integrations: &batch.Integrations} {
		if text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(text), into); err != nil {
			return own, fmt.Errorf("read what a batch shares: %w", err)
		}
	}
	return effect{inherited(own.Context, batch.Context), inherited(own.Integrations, batch.Integrations)}, nil
}

func inherited(own, batch any) any {
	ownFields, isObject := own.(map[string]any)
	batchFields, inherits := batch.(map[string]any)
	switch {
	case own == nil:
		return batch
	case !isObject || !inherits:
		return own
	}
	all := maps.Clone(batchFields)
	maps.Copy(all, ownFields)
	return all
}

func (e effect) equal(o effect) bool { return reflect.DeepEqual(e, o) }

// Some have the same length, so that only their bytes tell them apart.
var (
	contexts = []string{
		`{"library":{"name":"analytics-go","version":"3.0.0"}}`, `{"library":{"name":"analytics-js","version":"3.0.0"}}`,
		`{"ip":"192.0.2.1","locale":"en-GB"}`, `{"ip":"192.0.2.2","locale":"en-GB"}`,
	}
	integrations = []string{
		`{"All":false,"Amplitude":true}`, `{"All":false,"Intercom1":true}`, `{"All":true,"Amplitude":false}`,
	}
	ownMembers = []string{
		`,"context":{"ip":"198.51.100.7"}`, `,"context":{"locale":"de","page":{"path":"/"}}`, `,"context":null`,
		`,"integrations":{"Amplitude":"own"}`, `,"context":{},"integrations":{"All":true}`,
	}
)

// drawCommon draws what a batch shares, mostly something.
func drawCommon(rng *rand.Rand) (c common) {
	if rng.IntN(3) > 0 {
		c.context = contexts[rng.IntN(len(contexts))]
	}
	if rng.IntN(3) > 0 {
		c.integrations = integrations[rng.IntN(len(integrations))]
	}
	return c
}

// json is what c is in a batch, with a comma at its end.
func (c common) json() (text string) {
	if c.context != "" {
		text = `"context":` + c.context + `,`
	}
	if c.integrations != "" {
		text += `"integrations":` + c.integrations + `,`
	}
	return text
}
