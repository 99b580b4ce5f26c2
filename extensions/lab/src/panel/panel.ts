import { AccordionPanel } from '@lumino/widgets';
import { SidePanel } from '@jupyterlab/ui-components';
import { IStateDB } from '@jupyterlab/statedb';
import { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { Message } from '@lumino/messaging';

import { workbenchIcon } from '../icon';
import type { Sections } from './sections';

const STATE = 'analytics-workbench:panel';

/** What of the panel comes back after a reload. */
export interface PanelState {
  catalog?: { open: string[]; search: string; top: number };
  folded?: number[];
  sizes?: number[];
}

/** The side panel. What is in it is loaded when it is first seen: until then Lab's start pays for a tab alone. */
export class WorkbenchPanel extends SidePanel {
  constructor(
    private readonly make: () => Promise<Sections>,
    private readonly kept: IStateDB | null
  ) {
    super({ content: undefined });
    this.id = 'workbench-panel';
    this.addClass('wb-Panel');
    this.title.caption = 'Workbench';
    this.title.icon = workbenchIcon;
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', 'Workbench');
  }

  /** What is in it, loaded if it is not yet. */
  sections(): Promise<Sections> {
    this.loading ??= this.fill();
    return this.loading;
  }

  protected onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    void this.sections();
  }

  protected onAfterAttach(msg: Message): void {
    super.onAfterAttach(msg);
    if (this.isVisible) {
      void this.sections();
    }
  }

  private async fill(): Promise<Sections> {
    const [sections, saved] = await Promise.all([this.make(), this.kept?.fetch(STATE)]);
    sections.widgets.forEach(widget => this.addWidget(widget));
    const accordion = this.content as AccordionPanel;
    const state = (saved ?? {}) as PanelState;
    state.folded?.forEach(place => accordion.collapse(place));
    accordion.setRelativeSizes(state.sizes ?? [1, 2, 2]);
    if (state.catalog) {
      sections.catalog.state = state.catalog;
    }
    accordion.titles.forEach(title => named(title));
    accordion.expansionToggled.connect(() => this.keep(sections));
    accordion.handleMoved?.connect(() => this.keep(sections));
    sections.catalog.stateChanged.connect(() => this.keep(sections));
    return sections;
  }

  private keep(sections: Sections): void {
    const accordion = this.content as AccordionPanel;
    const folded = sections.widgets.flatMap((widget, place) => (widget.isHidden ? [place] : []));
    const state: PanelState = { catalog: sections.catalog.state, folded, sizes: accordion.relativeSizes() };
    void this.kept?.save(STATE, state as unknown as ReadonlyPartialJSONObject);
  }

  private loading: Promise<Sections> | null = null;
}

/**
 * A heading whose words are the button that folds its section. Lumino makes the whole heading one, with the buttons of
 * the section's toolbar inside it, which a screen reader cannot tell apart.
 */
function named(title: HTMLElement): void {
  const words = title.querySelector<HTMLElement>('.lm-AccordionPanel-titleLabel');
  if (!words) {
    return;
  }
  words.setAttribute('role', 'button');
  words.tabIndex = 0;
  title.tabIndex = -1;
  title.removeAttribute('aria-label');
  title.removeAttribute('aria-controls');
  const move = (): void => {
    const expanded = title.getAttribute('aria-expanded');
    if (expanded !== null) {
      words.setAttribute('aria-expanded', expanded);
      title.removeAttribute('aria-expanded');
    }
  };
  new MutationObserver(move).observe(title, { attributeFilter: ['aria-expanded'] });
  move();
}
