"""Every method of the registry agrees with its formula (`formulas.py`).

The library trains a small network for six steps. At every step, the loss, the coefficients, the
gradients that the optimizer receives and the weights after the step must be those of the formula,
which knows one replica only."""
import copy

import formulas
import numpy as np
import pytest
import torch
from formulas import C, DECAY, EPOCHS, HIDDEN, LR, Y

from bmm.balance.bmm import LossWeights
from bmm.balance.registry import METHODS, make_method
from bmm.models.layers import Network
from bmm.models.training import Batch, train

WIDTHS = (3, 4, 5)          # features of the modalities
VALID = np.array([[0, 1, 2, 3, 4], [5, 6, 7, 8, 11]])      # samples that a replica holds out
TOLERANCE = dict.fromkeys(METHODS, 1e-5)     # relative; a tenth of it absolute
TOLERANCE |= {'MMCosine': 1e-4, 'Gradient-Blending': 1e-4}     # short vectors, nested trainings

# Method, options of the library, formula, where the library has the coefficients (a function of
# the method, whose last result counts, or an attribute after the step), options of the formula
CASES = [
    ('Summation', {}, formulas.summation, None, {}),
    ('Concatenation', {}, formulas.concatenation, None, {}),
    ('OGM-GE', {}, formulas.ogm_ge, 'coefficients', {}),
    ('PMR', {}, formulas.pmr, 'weights', {}),
    ('PMR', dict(weight='soft', mu=.3, alpha=2.), formulas.pmr, 'weights',
     dict(soft=True, mu=.3, alpha=2.)),
    ('MMCosine', dict(scale=5.), formulas.mmcosine, None, {}),
    ('AGM', {}, formulas.agm, 'coefficients', {}),
    ('AGM', dict(cap=.1, clip=.2), formulas.agm, 'coefficients', dict(cap=.1, clip=.2)),
    ('MMPareto', {}, formulas.mmpareto, None, {}),
    ('MLA', {}, formulas.mla, 'P', {}),
    ('DGL', {}, formulas.dgl, None, {}),
    ('ARL', {}, formulas.arl, 'weights', {}),
    ('InfoReg', dict(ref=2), formulas.inforeg, 'traces', {}),
    ('InfoReg', dict(ref=2, K=.4), formulas.inforeg, 'traces', dict(K=.4)),
    ('Diagnosing & Re-learning', dict(every=1/EPOCHS, starts=30), formulas.relearning, 'gaps', {}),
    ('Gradient-Blending', dict(every=2/EPOCHS, n=2/EPOCHS), formulas.gradient_blending, 'w', {}),
    ('MLB', {}, formulas.mlb, 'coefficients', {}),
    ('MLB', dict(beta=3.), formulas.mlb, 'coefficients', dict(beta=3.)),
    ('GradNorm', {}, formulas.gradnorm, 'w', {}),
    ('Uncertainty weighting', {}, formulas.uncertainty, None, {}),
    ('BIO', {}, formulas.bio, 'lagging', {}),
    ('IBML', dict(lam=3.), formulas.ibml, 'lagging', {}),
    ('BIO + OGM-GE', {}, formulas.bio_ogm_ge, 'coefficients', {}),
    ('BIO + PMR', {}, formulas.bio_pmr, 'weights', {}),
    ('BMM', dict(weights=LossWeights(smoothing=.5), distillation=None, pretrain=False, gamma=.6),
     formulas.bmm_weights, 'k', {}),
    ('Joint (every weight 1)', {}, formulas.joint, None, {}),
    ('Late fusion', {}, formulas.late_fusion, None, {}),
]

# Axis of the replicas in what the library returns or keeps
REPLICA_AXIS = dict(coefficients=-1, weights=-1, traces=-1, gaps=-1, P=0, w=0, lagging=0, k=0)


# The library's side

def normal_draws(*shape, generator=None):
    shape = shape[0] if isinstance(shape[0], tuple) else shape
    return torch.from_numpy(formulas.noise(shape)).float()


def uniform_draws(n, generator=None):
    return torch.from_numpy(formulas.uniform(n)).float()


def weight_names(net, method):
    """Names of the formulas for the weights of network and method."""
    letters = {'encoders.layers.0.weight': 'V', 'encoders.layers.0.bias': 'a',
               'head.blocks.weight': 'W', 'head.own.weight': 'U', 'head.own.bias': 'c',
               'head.block.weight': 'W', 'head.block.bias': 'b', 'head.bias': 'b'}
    found = {}
    for name, parameter in net.named_parameters():
        m = next((part for part in name.split('.')[1:] if part.isdigit()), '')
        plain = name.replace(f'.{m}.', '.', 1) if m else name
        found[letters[plain]+m] = parameter
    return found | dict(method.named_parameters())


def arrays(tensors, r):
    """Replica r of named tensors, those that are there."""
    return {name: t[r].detach().double().numpy().copy() for name, t in tensors.items()
            if t is not None}


def made_up(M, R):
    """Features of M modalities, and the training samples of R replicas."""
    rng = np.random.default_rng(M)
    signal = 1.5*np.eye(C)[Y]
    x = []
    for m, width in enumerate(WIDTHS[:M]):
        z = rng.normal(size=(width, len(Y)))
        z[:C] += signal.T/(m+1)
        x.append(z.astype('float32'))
    train_mask = np.ones((R, len(Y)), bool)
    for r in range(R):
        train_mask[r, VALID[r]] = False
    return x, train_mask


def trained(name, options, coefficients, M, R, monkeypatch):
    """Six steps of the library: initial weights, and what each step did, by replica."""
    x, mask = made_up(M, R)
    method = make_method(name, **options)
    net = Network(WIDTHS[:M], C, range(R), (HIDDEN,), 0., method.head or 'additive')
    generator = torch.Generator().manual_seed(5)
    for parameter in net.parameters():
        parameter.data += .3*torch.empty_like(parameter).normal_(generator=generator)
    initial = [arrays(weight_names(net, method), r) for r in range(R)]
    monkeypatch.setattr(torch, 'rand', uniform_draws)
    steps, plain_step, plain_end = [], method.step, method.end_epoch
    if coefficients and callable(getattr(method, coefficients, None)):
        function = getattr(method, coefficients)

        def watched(*args):
            steps[-1]['coefficients'] = function(*args)
            return steps[-1]['coefficients']
        setattr(method, coefficients, watched)

    def step(run, batch):
        weights, turns = weight_names(net, method), []
        steps.append(dict(gradients=turns))
        optimizer_step = run.optimizer.step

        def watched_step():
            turns.append([arrays({k: p.grad for k, p in weights.items()}, r) for r in range(R)])
            optimizer_step()
        run.optimizer.step = watched_step
        steps[-1]['loss'] = plain_step(run, batch)
        run.optimizer.step = optimizer_step
        return steps[-1]['loss']

    def end_epoch(run):
        plain_end(run)
        weights = weight_names(net, method)
        steps[-1]['weights'] = [arrays(weights, r) for r in range(R)]
        kept = getattr(method, coefficients) if coefficients else []
        if not callable(kept) and len(kept):
            steps[-1]['coefficients'] = copy.copy(kept)

    method.step, method.end_epoch = step, end_epoch
    batch = Batch([torch.from_numpy(z) for z in x], torch.from_numpy(Y), torch.from_numpy(mask))
    train(net, batch, method, torch.from_numpy(~mask), EPOCHS, LR, DECAY, 99, 'sgd')
    return x, initial, steps


def of_replica(step, coefficients, r):
    values = step['coefficients']
    if isinstance(values, (tuple, list)):
        values = torch.stack(list(values)) if isinstance(values, tuple) else values[-1]
    return values.select(REPLICA_AXIS[coefficients], r).detach().double().numpy()


def compare(actual, expected, rtol, what):
    """Two dicts of arrays have the same names and values."""
    assert actual.keys() == expected.keys(), what
    for name in expected:
        np.testing.assert_allclose(actual[name], expected[name], rtol, rtol/10,
                                   err_msg=f'{what}, {name}')


def case_name(case):
    name, options, *_ = case
    return ' '.join([name, *map(str, options)])


def test_every_method_has_a_formula():
    assert {name for name, *_ in CASES} == set(METHODS)


@pytest.mark.parametrize('M, R', [(2, 1), (3, 2)])
@pytest.mark.parametrize('case', CASES, ids=case_name)
def test_method_follows_its_formula(case, M, R, monkeypatch):
    name, options, formula, coefficients, formula_options = case
    rtol = TOLERANCE[name]
    monkeypatch.setattr(torch, 'randn', normal_draws)
    x, initial, steps = trained(name, options, coefficients, M, R, monkeypatch)
    assert len(steps) == EPOCHS
    for r in range(R):
        features = [z.astype(float) for z in x]
        replica = formulas.Replica(initial[r], features, VALID[r], METHODS[name].head or 'additive')
        for t, step in enumerate(steps):
            replica.t = t
            replica.forward()
            expected = formula(replica, **formula_options)
            turns = expected['gradients']
            if not expected.get('done'):
                replica.descend(turns, expected.get('lr', LR))
            turns = turns if isinstance(turns, list) else [turns]
            assert len(step['gradients']) == len(turns)
            what = f'replica {r}, step {t}'
            for actual, wanted in zip(step['gradients'], turns):
                compare(actual[r], wanted, rtol, f'{what}, gradient')
            found, wanted = dict(loss=step['loss'][r]), dict(loss=expected['loss'])
            if coefficients and ('coefficients' in step or 'coefficients' in expected):
                found[coefficients] = of_replica(step, coefficients, r)
                wanted[coefficients] = expected['coefficients']
            compare(found, wanted, rtol, what)
            compare(step['weights'][r], replica.w, rtol, f'{what}, weight')
