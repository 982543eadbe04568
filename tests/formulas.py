"""The methods of the registry as formulas, in plain NumPy: no autograd, nothing of the library.

A replica is one network with one hidden layer, in double precision, with its gradients by hand.
`u` and `f` are logits of a modality and of the fusion, `L` is a loss, and `d` before a name is a
gradient. A function for a method takes a replica before a step and returns what the step must
have: loss, gradients and, where there are some, coefficients. A gradient that is absent means
that the weight stays. Where paper and released code differ, notebook 12b says which is followed.
"""
from itertools import product

import numpy as np

C, EPOCHS, LR, DECAY, MOMENTUM = 3, 6, .3, .01, .9
HIDDEN = 4
Y = np.array([0, 1, 2, 0, 1, 2, 0, 1, 0, 0, 0, 1, 2, 0])


# The network and its gradients

def softmax(z):
    e = np.exp(z-z.max(0))
    return e/e.sum(0)


def cross_entropy(z, y):
    """Mean loss of logits (C, n), and its gradient in them."""
    p, n = softmax(z), len(y)
    return -np.log(p[y, range(n)]).mean(), (p-np.eye(C)[:, y])/n


def entropy(z):
    """Entropy of every sample's probabilities, and the gradient of their sum."""
    p = softmax(z)
    H = -(p*np.log(p)).sum(0)
    return H, -p*(np.log(p)+H)


def directions(v, axis):
    """Unit vectors along an axis, and their lengths."""
    length = np.maximum(np.linalg.norm(v, axis=axis, keepdims=True), 1e-12)
    return v/length, length


def off_the_sphere(dv, v, length, axis):
    """Gradient in a vector from that in its unit vector v."""
    return (dv-v*(dv*v).sum(axis, keepdims=True))/length


class Replica:
    """One network with one bias b, and what a method keeps from step to step."""

    def __init__(self, weights, x, valid, head):
        self.w, self.x, self.head, self.M = weights, x, head, len(x)
        self.valid = valid
        self.rows = np.setdiff1d(range(len(Y)), valid)
        self.y = Y[self.rows]
        self.velocity, self.t, self.kept = {}, 0, {}
        self.scale = 10.

    @property
    def progress(self):
        return self.t/EPOCHS

    def represent(self, x):
        """h_m = relu(V_m x + a_m) of every modality."""
        return [np.maximum(self.w[f'V{m}']@z+self.w[f'a{m}'], 0) for m, z in enumerate(x)]

    def classify(self, h):
        """Logits of every modality, and the fused ones."""
        w, M = self.w, self.M
        if self.head == 'cosine':
            u = [self.scale*directions(w[f'W{m}'], 1)[0]@directions(h[m], 0)[0] for m in range(M)]
            return u, sum(u)
        if self.head == 'shared':
            u = [w['W']@z+w['b'] for z in h]
            return u, sum(u)/M
        together = [w[f'W{m}']@h[m] for m in range(M)]
        if self.head == 'multi':
            return [w[f'U{m}']@h[m]+w[f'c{m}'] for m in range(M)], sum(together)+w['b']
        u = [z+w['b']/M for z in together]
        return u, sum(u)

    def forward(self, rows=None, x=None):
        """Keep x, h, u and f of some samples, by default those of the training."""
        rows = self.rows if rows is None else rows
        self.now = [z[:, rows] for z in (self.x if x is None else x)]
        self.h = self.represent(self.now)
        self.u, self.f = self.classify(self.h)

    def losses(self):
        """L_m and L_f with the gradients du_m and df."""
        pairs = [cross_entropy(z, self.y) for z in (*self.u, self.f)]
        L, dz = [loss for loss, _ in pairs], [gradient for _, gradient in pairs]
        return np.array(L[:-1]), L[-1], dz[:-1], dz[-1]

    def backward(self, du=None, df=None, dh=None, encoders=True, classifier=True):
        """Gradients from those of u, f and h; a weight that nothing reaches has none."""
        w, g = self.w, {}
        du = du or [None]*self.M
        dh = dh or [0]*self.M
        additive = self.head in ('additive', 'cosine')
        for m, h in enumerate(self.h):
            total = dh[m]
            dW = [(f'W{m}', 'b', self.M, df)] if df is not None else []
            if du[m] is not None:
                dW.append((f'W{m}', 'b', self.M, du[m]) if additive
                          else (f'U{m}', f'c{m}', 1, du[m]))
            for block, bias, parts, dz in dW:
                if self.head == 'cosine':
                    W, long = directions(w[block], 1)
                    unit, length = directions(h, 0)
                    step = off_the_sphere(self.scale*dz@unit.T, W, long, 1)
                    total = total+off_the_sphere(self.scale*W.T@dz, unit, length, 0)
                else:
                    step, total = dz@h.T, total+w[block].T@dz
                    g[bias] = g.get(bias, 0)+dz.sum(1, keepdims=True)/parts
                g[block] = g.get(block, 0)+step
            if np.ndim(total):
                da = total*(h > 0)
                g[f'V{m}'], g[f'a{m}'] = da@self.now[m].T, da.sum(1, keepdims=True)
        return {name: v for name, v in g.items() if encoders*(name[0] in 'Va')
                or classifier*(name[0] not in 'Va')}

    def descend(self, g, lr=LR):
        """SGD with momentum and weight decay; σ has no decay."""
        for name, gradient in g.items():
            gradient = gradient+(DECAY*self.w[name] if name != 'sigma' else 0)
            self.velocity[name] = MOMENTUM*self.velocity.get(name, 0)+gradient
            self.w[name] = self.w[name]-lr*self.velocity[name]


# What several methods share

def true_class_score(z, y):
    return softmax(z)[y, range(len(y))].mean()


def scores(r, logits=None):
    return np.array([true_class_score(z, r.y) for z in logits or r.u])


def over_others(s):
    """Each value over the mean of the others."""
    return s*(len(s)-1)/(s.sum()-s)


def weighted(r, fused, own):
    """w_f L_f + Σ w_m L_m; None: the loss is absent."""
    L, L_f, du, df = r.losses()
    loss = (0 if fused is None else fused*L_f)+(0 if own is None else own@L)
    du = None if own is None else [w*d for w, d in zip(own, du)]
    return dict(loss=loss, gradients=r.backward(du, None if fused is None else fused*df))


def scaled(g, factors, letters):
    """Gradients of modality m times its factor, for weights with these letters."""
    return {name: v*factors[int(name[1])] if name[0] in letters and name != 'b' else v
            for name, v in g.items()}


def norm(arrays):
    return np.sqrt(sum((a**2).sum() for a in arrays))


def noise(shape):
    """Stands for normal draws, there and here."""
    return np.sin(3*np.arange(np.prod(shape))+1.).reshape(shape)


def uniform(n):
    """Stands for uniform draws, there and here."""
    return (np.arange(n)*3 % 7)/7+.01


# One function for each method: from a replica before the step to what the step must do

def summation(r):
    return weighted(r, 1, None)


def concatenation(r):
    if r.t == 0:      # the weights of one wide layer
        for m in range(r.M):
            r.w[f'W{m}'] *= ((HIDDEN+C)/(r.M*HIDDEN+C))**.5
        r.forward()
    return weighted(r, 1, None)


def joint(r):
    return weighted(r, 1, np.ones(r.M))


def late_fusion(r):
    return weighted(r, None, np.ones(r.M))


def slowed(r, step, alpha):
    """OGM-GE: g ← k g + noise with the standard deviation of g, for encoders."""
    ratio = over_others(scores(r))
    k = np.where(ratio > 1, 1-np.tanh(alpha*ratio), 1)
    g = step['gradients']
    edited = scaled(g, k, 'Va')
    for name in g:
        if name[0] in 'Va':
            edited[name] = edited[name]+g[name].std()*noise(g[name].shape)
    return step | dict(gradients=edited, coefficients=k)


def ogm_ge(r, alpha=.8):
    step = weighted(r, 1, None)
    return slowed(r, step, alpha) if r.progress < .5 else step


def prototype_terms(r, soft=False, mu=0., alpha=1., momentum=.2):
    """PMR: α Σ λ CE(z) - μ Σ ν H(z) with z = -|h - c|; its gradient in h."""
    new = [np.stack([h[:, r.y == c].mean(1) for c in range(C)]) for h in r.h]
    if 'prototypes' in r.kept:
        new = [(1-momentum)*a+momentum*b for a, b in zip(new, r.kept['prototypes'])]
    r.kept['prototypes'] = new
    gaps = [h[None]-c[:, :, None] for h, c in zip(r.h, new)]           # (C, d, n)
    z = [-np.sqrt((gap**2).sum(1)) for gap in gaps]
    ratio = over_others(scores(r, z))
    lam = np.clip(1/ratio-1, 0, 1) if soft else 1.*(ratio < 1)
    nu = np.clip(ratio-1, 0, 1)
    loss, dh = 0, []
    for m in range(r.M):
        CE, dz = cross_entropy(z[m], r.y)
        H, dH = entropy(z[m])
        loss += alpha*lam[m]*CE-mu*nu[m]*H.mean()
        dz = alpha*lam[m]*dz-mu*nu[m]*dH/len(r.y)
        dh.append((dz[:, None]*gaps[m]/z[m][:, None]).sum(0))
    return loss, dh, lam, nu


def with_prototypes(r, step, **options):
    loss, dh, lam, nu = prototype_terms(r, **options)
    extra, g = r.backward(dh=dh), step['gradients']
    return dict(loss=step['loss']+loss, coefficients=np.stack([lam, nu]),
                gradients={name: v+extra.get(name, 0) for name, v in g.items()})


def pmr(r, **options):
    step = weighted(r, 1, None)
    return with_prototypes(r, step, **options) if r.progress < .54 else step


def mmcosine(r):
    r.scale = 5.
    r.forward()
    return weighted(r, 1, None)


def agm(r, alpha=1., cap=10., clip=1.):
    """κ multiplies the gradient that arrives at u_m; the bias receives (1/M) Σ κ_m g."""
    L, L_f, _, df = r.losses()
    tau = r.kept.get('tau', 0*L)
    behind = [np.exp(r.M/(r.M-1)*(s.mean()-s)) for s in (tau, L)]
    kappa = np.exp(alpha*np.minimum(behind[0]-behind[1], cap))
    r.kept['tau'] = (r.t*tau+L)/(r.t+1)
    g = r.backward([k*df for k in kappa])
    if max(abs(v).max() for name, v in g.items() if name[0] in 'Wb') > clip:
        g = {name: v*min(1, clip/norm(g.values())) for name, v in g.items()}
    return dict(loss=L_f, gradients=g, coefficients=kappa)


def mlb(r, alpha=.8, beta=2.):
    """κ for encoder and classifiers; the bias of the fusion has M equal parts."""
    step = joint(r)
    rise = np.tanh(alpha*(1/over_others(scores(r))-1))
    kappa = 1+np.where(rise > 0, beta-1, 1)*rise
    g = scaled(step['gradients'], kappa, 'VaWUc')
    return step | dict(gradients=g | dict(b=kappa.mean()*g['b']), coefficients=kappa)


def mmpareto(r, gamma=1.5):
    L, L_f, du, df = r.losses()
    fused, own = r.backward(df=df), r.backward(du)
    g = {name: fused.get(name, 0)+own.get(name, 0) for name in fused | own}
    weights = []
    for m in range(r.M):
        names = f'V{m}', f'a{m}'
        a, c = (np.concatenate([part[name].ravel() for name in names]) for part in (fused, own))
        w = .5 if a@c > 0 else np.clip((c@c-a@c)/((a-c)@(a-c)), 0, 1)
        weights.append(w)
        for name in names:
            along = 2*w*fused[name]+2*(1-w)*own[name]
            g[name] = gamma*max(1, norm([g[name]])/norm([along]))*along
    return dict(loss=L_f+L.sum(), gradients=g, coefficients=weights)


def mla(r, alpha=.1):
    """A step for each modality on the shared classifier; returns the gradients of each."""
    P, before = r.kept.get('P', np.eye(HIDDEN)), r.kept.get('before')
    loss, turns = 0, []
    for m in range(r.M):
        r.forward()
        L, dz = cross_entropy(r.u[m], r.y)
        loss += L
        da = r.w['W'].T@dz*(r.h[m] > 0)
        g = {f'V{m}': da@r.now[m].T, f'a{m}': da.sum(1, keepdims=True)}
        if before is not None:
            Pr = P@before
            P = P-np.outer(Pr, Pr)/(alpha+before@Pr)
        g |= dict(W=dz@r.h[m].T@P.T, b=dz.sum(1, keepdims=True))
        before = r.h[m].mean(1)
        r.descend(g)
        turns.append(g)
    r.kept |= dict(P=P, before=before)
    return dict(loss=loss, gradients=turns, coefficients=P, done=True)


def dgl(r, alpha=4.):
    """Encoders: α Σ L_m. Classifier and its bias: L_f alone."""
    L, L_f, du, df = r.losses()
    encoders = r.backward([alpha*d for d in du], classifier=False)
    return dict(loss=L_f+alpha*L.sum(), gradients=encoders | r.backward(df=df, encoders=False))


def arl(r, gamma=4., T=8.):
    step = weighted(r, 1, np.full(r.M, gamma if r.progress >= .05 else 1.))
    H = np.array([entropy(u)[0].mean() for u in r.u])
    q = 1/np.maximum(H/H.sum(), .6/r.M)
    q = q/q.sum()
    d = np.array([abs(u).sum(0).mean() for u in r.u])
    d = d/d.sum()
    w = softmax(T*q*(1-d)/(r.M-1))
    return step | dict(gradients=scaled(step['gradients'], 1+w, 'Va'), coefficients=w)


def inforeg(r, beta=.9, K=.05, period=2):
    """Encoders of modalities that are ahead: + β exp(tanh δ)(θ - θ_ref) inside the window."""
    step = joint(r)
    g, k = step['gradients'], r.kept
    encoders = [[f'V{m}', f'a{m}'] for m in range(r.M)]
    if r.t == 0:
        k |= dict(traces=[], open=np.ones(r.M, bool))
    if r.t % period == 0:
        if r.t > 0:
            trace = [sum(k['squares'][name].mean() for name in names) for names in encoders]
            k['traces'].append(np.array(trace))
            now, last = (sum(part, np.zeros(r.M))/10 for part in (k['traces'], k['traces'][:-1]))
            k['open'] = (now-last)/now > K
        k |= dict(reference=dict(r.w), squares={name: 0 for name in r.w})
    s = scores(r)
    delta = s-(s.sum()-s)/(r.M-1)
    pull = np.where((delta > 0) & k['open'], beta*np.exp(np.tanh(delta)), 0)
    for m, name in ((m, name) for m, names in enumerate(encoders) for name in names):
        k['squares'][name] = k['squares'][name]+g[name]**2
        g[name] = g[name]+pull[m]*(r.w[name]-k['reference'][name])
    return step | (dict(coefficients=k['traces'][-1]) if k['traces'] else {})


def tightest_purity(h, y):
    """Purity of the tightest C clusters of units scaled to [-1, 1], of all that exist."""
    span = np.ptp(h, 1)
    z = 2*(h.T-h.min(1))/np.where(span > 0, span, 1)-1
    member = np.eye(C)[np.array([p for p in product(range(C), repeat=len(y)) if p[0] == 0])]
    count = member.sum(1)
    member, count = member[(count > 0).all(1)], count[(count > 0).all(1)]
    inside = np.einsum('kij,id->kjd', member, z)
    spread = (z**2).sum()-((inside**2).sum(2)/count).sum(1)
    best = member[spread.argmin()]
    return (best.T@np.eye(C)[y]).max(1).sum()/len(y)


def relearning(r, lam=3.):
    """θ ← (1 - a) θ + a θ_init after a step, three times; the momentum is cleared."""
    r.kept.setdefault('initial', dict(r.w))
    step = summation(r)
    r.descend(step['gradients'])
    if r.t < 3:
        gaps = []
        for m in range(r.M):
            h = [r.represent(r.x)[m][:, rows] for rows in (r.rows, r.valid)]
            gaps.append(abs(tightest_purity(h[0], r.y)-tightest_purity(h[1], Y[r.valid])))
            a = np.tanh(lam*gaps[m])
            for name in (f'V{m}', f'a{m}'):
                r.w[name] = (1-a)*r.w[name]+a*r.kept['initial'][name]
                r.velocity.pop(name)
        r.kept['gaps'] = gaps
    return step | dict(coefficients=r.kept['gaps'], done=True)


def gradient_blending(r, floor=.01):
    """Every second epoch: train copies for two epochs, each classifier by itself."""

    def both(copy):
        found = []
        for rows in (r.rows, r.valid):
            copy.forward(rows)
            found.append([cross_entropy(z, Y[rows])[0] for z in (*copy.u, copy.f)])
        return np.array(found)

    def ahead(rule):
        copy = Replica(dict(r.w), r.x, r.valid, 'multi')
        for _ in range(2):
            copy.forward()
            copy.descend(rule(copy)['gradients'])
        return both(copy)

    if r.t % 2 == 0:
        before, after = both(r), ahead(late_fusion)
        after[:, -1] = ahead(summation)[:, -1]
        G = before[1]-after[1]
        growth = after[1]-after[0]-(before[1]-before[0])
        w = np.maximum(G, 0)/np.maximum(growth**2, floor)
        r.kept['w'] = w/w.sum()
        r.forward()
    w = r.kept['w']
    return weighted(r, w[-1], w[:-1]) | dict(coefficients=w)


def gradnorm(r, a=1.5, eta=.025):
    """Weights take their step after the loss; norms are taken at the representations."""
    L, L_f, du, df = r.losses()
    L = np.append(L, L_f)
    if r.t == 0:
        r.kept |= dict(w=np.ones(r.M+1), first=L)
    w = r.kept['w']
    step = weighted(r, w[-1], w[:-1])
    if r.t > 0:
        n = [norm([r.w[f'U{m}'].T@du[m]]) for m in range(r.M)]
        n = np.array([*n, norm([r.w[f'W{m}'].T@df for m in range(r.M)])])
        rate = L/r.kept['first']
        target = (w*n).mean()*(rate/rate.mean())**a
        w = np.maximum(w-eta*np.sign(w*n-target)*n, .01)
        r.kept['w'] = w*len(w)/w.sum()
    return step | dict(coefficients=r.kept['w'])


def uncertainty(r, least=-3.):
    sigma = r.w['sigma'] = np.maximum(r.w.get('sigma', np.zeros(r.M+1)), least)
    L, L_f, *_ = r.losses()
    step = weighted(r, np.exp(-sigma[-1]), np.exp(-sigma[:-1]))
    slope = .5-np.exp(-sigma)*np.append(L, L_f)
    return dict(loss=step['loss']+sigma.sum()/2, gradients=step['gradients'] | dict(sigma=slope))


def bio(r):
    """Eq. 12: max(1, Σ I) L_f + Σ I_m L_m, from the second epoch on."""
    s = scores(r)
    lagging = (s < s.mean())*(r.progress > r.kept.get('warm', 0))
    return weighted(r, max(1, lagging.sum()), 1.*lagging) | dict(coefficients=lagging)


def ibml(r, lam=3., factor=2.):
    """Noise on recorded, correct samples of modalities ahead; a warm-up of a tenth."""
    r.kept['warm'] = .1
    x = [z.copy() for z in r.x]
    if r.progress >= .1:
        rho = scores(r, r.kept['recorded'])
        for m in np.flatnonzero(rho > rho.mean()):
            chance = min(r.M*rho[m]/rho.sum(), lam)/lam
            correct = np.zeros(len(Y), bool)
            correct[r.rows] = r.kept['recorded'][m].argmax(0) == r.y
            hit = correct & (uniform(len(Y)) < chance)
            deviation = r.x[m][:, r.rows].std(1, keepdims=True)
            x[m][:, hit] += deviation*noise((len(x[m]), hit.sum()))
    r.forward(x=x)
    r.kept['recorded'] = r.u
    return bio(r) | dict(lr=LR*(factor if r.progress < .1 else 1))


def bio_ogm_ge(r):
    return slowed(r, bio(r), .8) if r.t > 0 else summation(r)


def bio_pmr(r):
    return with_prototypes(r, bio(r)) if r.t > 0 else summation(r)


def macro_f1(guess, y):
    cells = [(((guess == c) & (y == c)).sum(), (guess == c).sum()+(y == c).sum())
             for c in range(C)]
    return np.mean([2*both/max(either, 1) for both, either in cells])


def bmm_weights(r, alpha=.5, beta=.1, gamma=.6, smoothing=.5):
    """L_f + Σ k_m L_m with k from macro-F1 on held-out samples (§2.3.3), smoothed."""
    r.forward(r.valid)
    F = np.array([macro_f1(u.argmax(0), Y[r.valid]) for u in r.u])
    F = smoothing*r.kept['F']+(1-smoothing)*F if 'F' in r.kept else F
    r.kept['F'] = F
    ratio = over_others(F)
    low = F <= gamma/C
    k = np.where(low, np.tanh(beta*ratio), 1-np.tanh(alpha*ratio))
    r.forward()
    return weighted(r, 1, k) | dict(coefficients=k)
