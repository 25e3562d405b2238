package segmentd

import (
	"bytes"
	"slices"
	"strings"
)

// Merged returns the event as Segment stores it: with the batch's context and integrations merged
// into the event's own. For a key that both have, the event's value wins; null counts as absent. If
// the batch has neither, Merged returns a copy of Raw.
func (r Received) Merged() []byte {
	if r.context == "" && r.integrations == "" {
		return bytes.Clone(r.Raw)
	}
	all := members(string(r.Raw))
	all = inherit(all, "context", r.context)
	all = inherit(all, "integrations", r.integrations)
	return []byte(join(all))
}

// member is a key, unquoted and as written, with its value.
type member struct {
	key, quoted string
	value       value
}

// members returns the members of a valid object in order. A duplicate key has the last value at the
// first position.
func members(obj string) []member {
	var all []member
	at := map[string]int{}
	s := scanner{in: obj}
	s.next()
	s.object(func(quoted string) bool {
		v, ok := scanValue(&s)
		m := member{unquote(quoted), quoted, v}
		if i, dup := at[m.key]; dup {
			all[i].value = v
			return ok
		}
		at[m.key] = len(all)
		all = append(all, m)
		return ok
	})
	return all
}

// inherit merges the batch's object into the event's member of that name.
func inherit(event []member, name, batch string) []member {
	if batch == "" {
		return event
	}
	for i, m := range event {
		if m.key != name {
			continue
		}
		switch {
		case m.value.null():
			event[i].value = value(batch)
		case m.value.isObject():
			event[i].value = value(join(union(members(string(m.value)), members(batch))))
		} // any other value is the event's own and wins
		return event
	}
	return append(event, member{name, `"` + name + `"`, value(batch)})
}

// union returns own with those members of batch that own lacks.
func union(own, batch []member) []member {
	have := make(map[string]bool, len(own))
	for _, m := range own {
		have[m.key] = true
	}
	for _, m := range batch {
		if !have[m.key] {
			own = append(own, m)
		}
	}
	return own
}

// present returns those members that are not null.
func present(all []member) []member {
	return slices.DeleteFunc(all, func(m member) bool { return m.value.null() })
}

func join(all []member) string {
	var out strings.Builder
	out.WriteByte('{')
	for i, m := range all {
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteString(m.quoted)
		out.WriteByte(':')
		out.WriteString(string(m.value))
	}
	out.WriteByte('}')
	return out.String()
}
