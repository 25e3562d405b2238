package derive

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spillwayhq/spillway/infra/bundle/template"
)

// Differences are where the template of a release, with its parameters, is not what the CDK app makes
// for the same choice, a text each. What is not compared is what must differ: where the code is; the
// rule that the account is bootstrapped; the hashes in logical IDs of versions, and the addresses in
// those of subscriptions; and the settings' tags, which CloudFormation takes from the stack.
func Differences(c *template.Choice, release []byte, values map[string]string, app []byte) ([]string, error) {
	got, err := parse(release)
	if err != nil {
		return nil, err
	}
	want, err := parse(app)
	if err != nil {
		return nil, err
	}
	var declared struct{ Parameters map[string]any }
	if err := json.Unmarshal(release, &declared); err != nil {
		return nil, err
	}
	var found []string
	for _, name := range slices.Sorted(maps.Keys(declared.Parameters)) {
		if _, ok := values[name]; !ok && name != template.BucketParameter {
			found = append(found, "Parameters/"+name+": it has no value")
		}
	}
	known := maps.Clone(values)
	known[template.RegionParameter] = c.Settings.Regions[0]
	tags := c.Settings.Tags
	compare("", flatten(got, known, nil), flatten(want, known, tags), &found)
	return found, nil
}

// flatten puts values in place of parameters, and texts in place of numbers, intrinsic functions and
// tags, as CloudFormation sees them.
func flatten(value any, values, tags map[string]string) any {
	switch value := value.(type) {
	case map[string]any:
		if text, ok := asText(value); ok {
			return fill(text, values)
		}
		out := map[string]any{}
		for key, part := range value {
			part = flatten(part, values, tags)
			if key == "Tags" {
				part = untagged(part, tags)
			}
			if part != nil {
				out[key] = part
			}
		}
		return out
	case []any:
		out := make([]any, len(value))
		for i := range value {
			out[i] = flatten(value[i], values, tags)
		}
		return out
	case string:
		return fill(strings.ReplaceAll(value, "${", "${!"), values)
	case nil:
		return "null"
	}
	return fmt.Sprint(value)
}

// fill puts values into a text of Fn::Sub. What is left of ${} are names of resources, and ${!} stays:
// it is the same on both sides.
func fill(text string, values map[string]string) string {
	var out strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "${")
		out.WriteString(before)
		if !ok {
			return out.String()
		}
		name, after, closed := strings.Cut(rest, "}")
		if value, ok := values[name]; closed && ok {
			out.WriteString(strings.ReplaceAll(value, "${", "${!"))
			text = after
			continue
		}
		out.WriteString("${")
		text = rest
	}
}

// untagged are the tags of a resource without those of the settings, in the order of their keys.
func untagged(of any, tags map[string]string) any {
	switch of := of.(type) {
	case []any:
		left := slices.DeleteFunc(slices.Clone(of), func(tag any) bool {
			object, _ := tag.(map[string]any)
			_, own := tags[fmt.Sprint(object["Key"])]
			return own
		})
		slices.SortFunc(left, func(a, b any) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		return left
	case map[string]any:
		left := maps.Clone(of)
		for key := range tags {
			delete(left, key)
		}
		return left
	}
	return of
}

// compare appends where two values differ.
func compare(path string, got, want any, found *[]string) {
	switch want := want.(type) {
	case map[string]any:
		if got, ok := got.(map[string]any); ok {
			keys := slices.AppendSeq(slices.Collect(maps.Keys(got)), maps.Keys(want))
			slices.Sort(keys)
			for _, key := range slices.Compact(keys) {
				at := strings.TrimPrefix(path+"/"+key, "/")
				is, has := got[key]
				must, needs := want[key]
				switch {
				case !has:
					*found = append(*found, at+": the release lacks it")
				case !needs:
					*found = append(*found, at+": only the release has it")
				default:
					compare(at, is, must, found)
				}
			}
			return
		}
	case []any:
		if got, ok := got.([]any); ok && len(got) == len(want) {
			for i := range want {
				compare(fmt.Sprintf("%s/%d", path, i), got[i], want[i], found)
			}
			return
		}
	}
	if !equal(got, want) {
		one, _ := json.Marshal(got)
		other, _ := json.Marshal(want)
		*found = append(*found, fmt.Sprintf("%s: the release has %s, and the CDK app %s", path, one, other))
	}
}
