package derive

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spillwayhq/spillway/infra/bundle/template"
)

// wholeOnly are parameters whose values are such short words that they stand for themselves only
// where they are a whole text.
var wholeOnly = []string{"LogLevel", "Architecture", "FairQueues", "Version"}

// values are those of the parameters of one probe.
type values struct {
	of      map[string]string
	longest []string // the names of those that may be a part of a text, the longest value first
}

func valuesOf(c *template.Choice) values {
	v := values{of: template.Values(c)}
	for _, p := range template.Parameters() {
		if p.Kind == template.Text && v.of[p.Name] != "" && !slices.Contains(wholeOnly, p.Name) {
			v.longest = append(v.longest, p.Name)
		}
	}
	v.of[template.RegionParameter] = c.Settings.Regions[0]
	v.longest = append(v.longest, template.RegionParameter)
	slices.SortFunc(v.longest, func(a, b string) int {
		return cmp.Or(len(v.of[b])-len(v.of[a]), strings.Compare(a, b))
	})
	return v
}

// A pair is what two probes have, which differ in the value of every parameter and in nothing else.
type pair struct{ a, b values }

// parameterise puts parameters in place of what differs between two trees. It is an error if
// something differs that no parameter explains, or that several do.
func (p pair) parameterise(path string, a, b any) (any, error) {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || !slices.Equal(slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b))) {
			return nil, fmt.Errorf("%s: its keys differ between two probes: %v and %v", path, slices.Sorted(maps.Keys(a)),
				slices.Sorted(maps.Keys(b)))
		}
		if text, ok := a["Fn::Sub"].(string); ok {
			other, _ := b["Fn::Sub"].(string)
			found, err := p.text(path, text, other)
			return fromText(found), err
		}
		out := map[string]any{}
		for key := range a {
			var err error
			if out[key], err = p.parameterise(path+"/"+key, a[key], b[key]); err != nil {
				return nil, err
			}
		}
		return out, nil
	case []any:
		b, _ := b.([]any)
		if len(a) != len(b) {
			return nil, fmt.Errorf("%s: its length differs between two probes: %d and %d", path, len(a), len(b))
		}
		out := make([]any, len(a))
		for i := range a {
			var err error
			if out[i], err = p.parameterise(fmt.Sprintf("%s/%d", path, i), a[i], b[i]); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	if a == b {
		return a, nil
	}
	if found, err := p.whole(path, fmt.Sprint(a), fmt.Sprint(b)); found != "" || err != nil {
		return ref(found), err
	}
	text, ok := a.(string)
	other, same := b.(string)
	if !ok || !same {
		return nil, fmt.Errorf("%s: %v and %v differ between two probes, and no parameter says so", path, a, b)
	}
	escape := func(text string) string { return strings.ReplaceAll(text, "${", "${!") }
	found, err := p.text(path, escape(text), escape(other))
	return fromText(found), err
}

// whole is the parameter with these two values.
func (p pair) whole(path, a, b string) (string, error) {
	var found []string
	for name := range p.a.of {
		if p.a.of[name] == a && p.b.of[name] == b {
			found = append(found, name)
		}
	}
	if len(found) > 1 {
		slices.Sort(found)
		return "", fmt.Errorf("%s: %s could be each of the parameters %v: choose other values in the probes", path, a, found)
	}
	return strings.Join(found, ""), nil
}

// text puts parameters into a text of Fn::Sub.
func (p pair) text(path, a, b string) (string, error) {
	one, other := p.a.replace(a), p.b.replace(b)
	if one != other {
		return "", fmt.Errorf("%s: two probes differ by more than parameters:\n%s\n%s", path, one, other)
	}
	return one, nil
}

func (v values) replace(text string) string {
	for _, name := range v.longest {
		text = strings.ReplaceAll(text, v.of[name], "${"+name+"}")
	}
	return text
}
