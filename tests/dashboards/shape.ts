// The shape of a shipped dashboard: Grafana's own type, with the panels that we use typed down to their options.
import type { Dashboard, Panel, RowPanel } from '@grafana/schema';
import type { Options as BarGaugeOptions } from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type { Options as StatOptions } from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type {
    FieldConfig as TimeSeriesField,
    Options as TimeSeriesOptions,
} from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

// JSON has no enums: an enum of words becomes the union of its words.
type Json<T> = T extends string
    ? `${T}`
    : T extends (infer Item)[]
      ? Json<Item>[]
      : T extends object
        ? { [Field in keyof T]: Json<T[Field]> }
        : T;

type DataSource = { type: 'prometheus'; uid: '${datasource}' };

// What a Prometheus query is in a panel; @grafana/schema leaves it to the data source.
type Target = {
    refId: string;
    datasource: DataSource;
    editorMode: 'code';
    expr: string;
    legendFormat: string;
    range?: true;
    instant?: true;
};

type Typed<Type extends string, Options, Field> = Omit<
    Json<Panel<Json<Options>, Json<Field>>>,
    'type' | 'options' | 'targets' | 'datasource'
> & { type: Type; title: string; description: string; options: Json<Options>; targets: Target[]; datasource: DataSource };

// The panels of a collapsed row are inside of it.
type ShippedRow = Omit<Json<RowPanel>, 'panels'> & { panels: ShippedPanel[] };

type ShippedPanel =
    | ShippedRow
    | Typed<'timeseries', TimeSeriesOptions, TimeSeriesField>
    | Typed<'stat', StatOptions, Record<string, never>>
    | Typed<'bargauge', BarGaugeOptions, Record<string, never>>;

// Annotations by query carry the data source's own fields beside Grafana's.
type Annotations = {
    list: (NonNullable<NonNullable<Json<Dashboard['annotations']>>['list']>[number] & {
        expr?: string;
        titleFormat?: string;
        textFormat?: string;
        step?: string;
    })[];
};

export type ShippedDashboard = Omit<Json<Dashboard>, 'panels' | 'annotations'> & {
    panels: ShippedPanel[];
    annotations: Annotations;
};
