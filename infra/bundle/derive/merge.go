package derive

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spillwayhq/spillway/infra/bundle/template"
)

// absent is in place of a value that is not there.
type absent struct{}

// trees are templates with parameters, by which of the conditions do not hold.
type trees struct {
	get func(without []string) (map[string]any, error)
}

// A place is where a value is in a template, and the trees in which it is looked at: all without the
// same conditions, and each without one more.
type place struct {
	trees   *trees
	path    []any // keys and indices
	without []string
}

func (p place) String() string {
	parts := make([]string, len(p.path))
	for i, part := range p.path {
		parts[i] = fmt.Sprint(part)
	}
	return strings.Join(parts, "/")
}

func (p place) at(key any) place {
	p.path = append(slices.Clone(p.path), key)
	return p
}

// merge makes one value of what a place has while all conditions hold, and of what it has without each
// one of them.
//
// What is only there while several conditions hold is missing without each of them, so that it is
// within an If of each. For a value that is another one without each of several conditions, the
// template without several of them is made too.
func merge(p place, base any, flips map[string]any) (any, error) {
	var active []string
	for _, name := range slices.Sorted(maps.Keys(flips)) {
		if !equal(base, flips[name]) {
			active = append(active, name)
		}
	}
	if len(active) == 0 {
		return base, nil
	}
	if base == (absent{}) {
		if len(active) > 1 {
			return nil, fmt.Errorf("%v: it is there only without each of %v, which can't be merged", p, active)
		}
		return template.Unless(active[0], flips[active[0]]), nil
	}
	needs := map[string]any{}
	var missing []string
	for _, name := range active {
		if flips[name] == (absent{}) {
			missing = append(missing, name)
		} else {
			needs[name] = flips[name]
		}
	}
	merged, err := mergePresent(p, base, needs)
	if err != nil {
		return nil, err
	}
	slices.Reverse(missing)
	for _, name := range missing {
		merged = template.If(name, merged)
	}
	return merged, nil
}

func mergePresent(p place, base any, flips map[string]any) (any, error) {
	if len(flips) == 0 {
		return base, nil
	}
	if objects, ok := allObjects(base, flips); ok {
		return mergeObjects(p, base.(map[string]any), objects)
	}
	if list, ok := base.([]any); ok {
		aligned := map[string][]any{}
		for name, flip := range flips {
			if aligned[name] = align(list, flip); aligned[name] == nil {
				return mergeOther(p, base, flips, name)
			}
		}
		out := make([]any, len(list))
		for i := range list {
			parts := map[string]any{}
			for name := range flips {
				parts[name] = aligned[name][i]
			}
			var err error
			if out[i], err = merge(p.at(i), list[i], parts); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return mergeOther(p, base, flips, slices.Sorted(maps.Keys(flips))[0])
}

// allObjects reports whether all are objects whose keys are names, and not an intrinsic function.
func allObjects(base any, flips map[string]any) (map[string]map[string]any, bool) {
	objects := map[string]map[string]any{}
	for name, flip := range flips {
		object, ok := flip.(map[string]any)
		if !ok || isFunction(object) {
			return nil, false
		}
		objects[name] = object
	}
	object, ok := base.(map[string]any)
	return objects, ok && !isFunction(object)
}

func isFunction(object map[string]any) bool {
	for key := range object {
		if key == "Ref" || strings.HasPrefix(key, "Fn::") {
			return true
		}
	}
	return false
}

func mergeObjects(p place, base map[string]any, flips map[string]map[string]any) (any, error) {
	keys := slices.Collect(maps.Keys(base))
	for _, flip := range flips {
		keys = slices.AppendSeq(keys, maps.Keys(flip))
	}
	slices.Sort(keys)
	out := map[string]any{}
	for _, key := range slices.Compact(keys) {
		parts := map[string]any{}
		for name, flip := range flips {
			parts[name] = lookup(flip, key)
		}
		var err error
		if out[key], err = merge(p.at(key), lookup(base, key), parts); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func lookup(object map[string]any, key string) any {
	if value, ok := object[key]; ok {
		return value
	}
	return absent{}
}

// align is what a list has of each element of another one; nil: they are too different.
func align(base []any, other any) []any {
	list, ok := other.([]any)
	if !ok || len(list) > len(base) {
		return nil
	}
	if len(list) == len(base) {
		return list
	}
	aligned := make([]any, len(base))
	next := 0
	for i, element := range base {
		aligned[i] = absent{}
		if next < len(list) && equal(element, list[next]) {
			aligned[i] = list[next]
			next++
		}
	}
	if next < len(list) {
		return nil
	}
	return aligned
}

// mergeOther chooses by one condition between two values, each of which may depend on the others.
func mergeOther(p place, base any, flips map[string]any, name string) (any, error) {
	other := maps.Clone(flips)
	delete(other, name)
	then, err := merge(p, base, other)
	if err != nil {
		return nil, err
	}
	without := p
	without.without = append(slices.Clone(p.without), name)
	parts := map[string]any{}
	for next := range other {
		tree, err := p.trees.get(append(slices.Clone(without.without), next))
		if err != nil {
			return nil, err
		}
		if parts[next], err = find(tree, p); err != nil {
			return nil, err
		}
	}
	otherwise, err := merge(without, flips[name], parts)
	if err != nil {
		return nil, err
	}
	return template.If(name, then, otherwise), nil
}

// find is what a tree has at a place.
func find(tree any, p place) (any, error) {
	for _, part := range p.path {
		switch part := part.(type) {
		case string:
			object, ok := tree.(map[string]any)
			if !ok {
				return absent{}, nil
			}
			tree = lookup(object, part)
		case int:
			list, ok := tree.([]any)
			if !ok || part >= len(list) {
				return nil, fmt.Errorf("%v: the list is another one without %v, which can't be merged", p, p.without)
			}
			tree = list[part]
		}
	}
	return tree, nil
}

func equal(a, b any) bool {
	if a == (absent{}) || b == (absent{}) {
		return a == b
	}
	one, _ := json.Marshal(a) // both were JSON
	other, _ := json.Marshal(b)
	return string(one) == string(other)
}
